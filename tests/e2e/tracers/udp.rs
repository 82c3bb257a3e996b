//! `udp`
