//! Daemon away, hung, answering garbage.
