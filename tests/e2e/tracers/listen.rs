//! `listen`
