//! `blockio`
