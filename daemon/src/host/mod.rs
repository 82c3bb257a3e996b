//! What the host is and has: its cgroups, its processes, and what must be there before anything is traced.

pub mod cgroup;
pub mod group;
pub mod prerequisites;
pub mod proc;
