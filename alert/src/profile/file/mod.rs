//! Profiles as files that a person can read: sorted, an entry a line, so that two of them can be compared.

mod read;
mod write;

use super::one::Profile;
use crate::yaml::YamlError;

const VERSION: u64 = 1;
/// Longest file, in bytes: larger than any that is written here.
const LENGTH_MAX: usize = 8 << 20;

impl Profile {
    pub fn to_yaml(&self) -> String {
        write::write(self)
    }

    /// The error names line and column.
    pub fn from_yaml(text: &str) -> Result<Self, YamlError> {
        read::read(text)
    }
}
