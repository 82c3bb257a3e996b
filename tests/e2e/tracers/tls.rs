//! `tls`
