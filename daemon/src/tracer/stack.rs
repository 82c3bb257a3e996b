//! Stacks in a table: where in a row they are, whose addresses they have, and what they are weighed by.

use std::ops::Range;

use super::kind::Kind;
use super::plan::Field;

/// The tracer's map that has the addresses.
pub const MAP: &str = "remora_stacks";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackPlan {
    pub user: Option<User>,
    /// Where the id of the kernel's stack is.
    pub kernel_at: Option<usize>,
    /// Name of the thread: what stacks are gathered under.
    pub comm: Option<Range<usize>>,
    pub weight: Weight,
}

/// Where the id of the program's stack is, and whose addresses those are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    pub stack_at: usize,
    pub pid_at: usize,
    pub image_at: usize,
}

/// The first of the value's counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    pub unit: String,
    pub at: Range<usize>,
    /// Of a duration: nanoseconds of its unit.
    pub nanoseconds: Option<u64>,
}

impl StackPlan {
    /// Reads it out of a table's fields, and takes those away that are not shown.
    pub fn take(fields: &mut Vec<Field>, key_size: usize) -> Result<Option<Self>, String> {
        if let Some(field) = fields.iter().find(|f| f.kind.is_of_stacks() && f.offset >= key_size) {
            return Err(format!(
                "value member at {}: a {} belongs in the key",
                field.path,
                field.kind.name()
            ));
        }
        let at = |kind: Kind| fields.iter().find(|f| f.kind == kind).map(|f| f.offset);
        let (user, kernel_at) = (at(Kind::UserStack), at(Kind::KernelStack));
        let (pid, image) = (at(Kind::Pid), at(Kind::Image));
        let user = match (user, pid, image) {
            (None, ..) => None,
            (Some(stack_at), Some(pid_at), Some(image_at)) => Some(User { stack_at, pid_at, image_at }),
            _ => {
                return Err("key has a remora_user_stack and not the remora_pid and remora_image \
                    that say whose addresses it has"
                    .into());
            }
        };
        let comm = fields.iter().find(|f| f.kind == Kind::Chars && f.offset < key_size);
        let comm = comm.map(|f| f.offset..f.offset + f.size);
        let weight = fields.iter().find(|f| f.counter && f.offset >= key_size).map(weight);
        fields.retain(|f| f.kind != Kind::Image);
        if user.is_none() && kernel_at.is_none() {
            return Ok(None);
        }
        let weight = weight.ok_or("value has no counter to weigh stacks by")?;
        Ok(Some(Self { user, kernel_at, comm, weight }))
    }
}

fn weight(field: &Field) -> Weight {
    let (unit, nanoseconds) = match field.kind {
        Kind::Duration(ns) => ("microseconds", Some(ns)),
        _ => (field.path.rsplit('.').next().unwrap_or_default(), None),
    };
    Weight { unit: unit.to_owned(), at: field.offset..field.offset + field.size, nanoseconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(path: &str, offset: usize, size: usize, kind: Kind, counter: bool) -> Field {
        Field {
            path: path.into(),
            offset,
            size,
            kind,
            optional: false,
            feature: false,
            counter,
            gauge: false,
            help: String::new(),
            tail: 0,
        }
    }

    fn fields() -> Vec<Field> {
        vec![
            field("t.pid", 4, 4, Kind::Pid, false),
            field("t.comm", 8, 16, Kind::Chars, false),
            field("t.image", 24, 8, Kind::Image, false),
            field("t.user", 32, 4, Kind::UserStack, false),
            field("t.kernel", 36, 4, Kind::KernelStack, false),
            field("t.time", 40, 8, Kind::Duration(1), true),
        ]
    }

    #[test]
    fn members_are_found_and_the_image_is_not_shown() {
        let mut all = fields();
        let plan = StackPlan::take(&mut all, 40).unwrap().unwrap();
        assert_eq!(plan.user, Some(User { stack_at: 32, pid_at: 4, image_at: 24 }));
        assert_eq!((plan.kernel_at, plan.comm), (Some(36), Some(8..24)));
        assert_eq!(plan.weight, Weight { unit: "microseconds".into(), at: 40..48, nanoseconds: Some(1) });
        assert!(all.iter().all(|f| f.kind != Kind::Image));
    }

    #[test]
    fn what_is_missing_is_said() {
        let without = |kind: Kind| {
            let mut all = fields();
            all.retain(|f| f.kind != kind);
            StackPlan::take(&mut all, 40).unwrap_err()
        };
        assert!(without(Kind::Image).contains("remora_image"));
        assert!(without(Kind::Pid).contains("remora_pid"));
        assert!(without(Kind::Duration(1)).contains("counter"));
        assert!(StackPlan::take(&mut fields(), 36).unwrap_err().contains("belongs in the key"));
        let mut plain = vec![field("t.n", 40, 8, Kind::Unsigned, true)];
        assert_eq!(StackPlan::take(&mut plain, 40), Ok(None));
    }
}
