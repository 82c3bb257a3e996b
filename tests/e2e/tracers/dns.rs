//! `dns`
