//! `oom`
