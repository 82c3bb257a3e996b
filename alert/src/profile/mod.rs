//! Learned profiles, one for each image and role.

#[derive(Debug, Clone, Default)]
pub struct Profiles {}
