//! `runqlat`
