//! `file`
