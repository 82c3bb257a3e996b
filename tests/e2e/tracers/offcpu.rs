//! `offcpu`
