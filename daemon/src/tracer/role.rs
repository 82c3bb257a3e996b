//! Roles of tables: what advice is made of is found by what a table says of itself, and not by who keeps it.

use super::kind::Kind;
use super::plan::Layout;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A row for each system call that the container has used: one member of type remora_syscall.
    Syscalls,
    /// Rows of who needed which capability: members `capability` and `verdict`, which are enums.
    Capabilities,
}

impl Role {
    /// The role of this name, which the rows must be fit for.
    pub fn of(text: &str, layout: &Layout) -> Result<Self, String> {
        let (role, fits) = match text {
            "syscalls" => {
                let calls = layout.fields.iter().filter(|f| f.kind == Kind::Syscall).count();
                (Self::Syscalls, calls == 1)
            }
            "capabilities" => {
                let is_enum = |name: &str| {
                    let of = |path: &str| path.rsplit('.').next() == Some(name);
                    layout.fields.iter().any(|f| of(&f.path) && matches!(f.kind, Kind::Enum(_)))
                };
                (Self::Capabilities, is_enum("capability") && is_enum("verdict"))
            }
            _ => return Err(format!("unknown role {text:?}: known are syscalls and capabilities")),
        };
        if fits {
            Ok(role)
        } else {
            Err(format!("its members are not those of role {text}: {}", role.needs()))
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Syscalls => "syscalls",
            Self::Capabilities => "capabilities",
        }
    }

    fn needs(self) -> &'static str {
        match self {
            Self::Syscalls => "one of type remora_syscall",
            Self::Capabilities => "enums capability and verdict",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracer::kind::Names;
    use crate::tracer::plan::Field;

    fn layout(fields: &[(&str, Kind)]) -> Layout {
        let field = |(path, kind): &(&str, Kind)| Field {
            path: (*path).into(),
            offset: 0,
            size: 4,
            kind: kind.clone(),
            optional: false,
            feature: false,
            counter: false,
            gauge: false,
            help: String::new(),
            tail: 0,
        };
        Layout { fields: fields.iter().map(field).collect(), ..Layout::default() }
    }

    #[test]
    fn a_role_is_for_rows_that_are_fit_for_it() {
        let names = || Kind::Enum(std::sync::Arc::new(Names(Vec::new())));
        let calls = layout(&[("t.syscall", Kind::Syscall), ("t.calls", Kind::Unsigned)]);
        let caps = layout(&[("t.capability", names()), ("t.verdict", names())]);
        assert_eq!(Role::of("syscalls", &calls), Ok(Role::Syscalls));
        assert_eq!(Role::of("capabilities", &caps), Ok(Role::Capabilities));
        assert!(Role::of("syscalls", &caps).unwrap_err().contains("remora_syscall"));
        assert!(Role::of("capabilities", &calls).unwrap_err().contains("verdict"));
        assert!(Role::of("capability", &caps).unwrap_err().contains("unknown role"));
    }
}
