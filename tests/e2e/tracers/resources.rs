//! `resources`
