//! `guard`
