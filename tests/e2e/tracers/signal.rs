//! `signal`
