//! `profile`
