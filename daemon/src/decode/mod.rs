//! From records to text, by plans.

pub mod json;
pub mod syscall;
pub mod text;
pub mod value;
