//! `memory`
