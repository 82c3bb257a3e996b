//! `filelat`
