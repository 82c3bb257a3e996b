//! What containerd's events tell of containers.

use containerd_client::events::{ContainerDelete, ContainerUpdate, TaskCreate, TaskExit};
use prost::Message;

#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// Its hooks have run; its program is about to.
    Began {
        id: String,
        pid: u32,
    },
    Changed {
        id: String,
    },
    Ended {
        id: String,
    },
}

/// Those we ask for, by containerd's own grammar.
pub fn filters(but: &str) -> Vec<String> {
    let topics = ["/tasks/create", "/tasks/exit", "/containers/update", "/containers/delete"];
    topics.iter().map(|topic| format!("topic==\"{topic}\",namespace!=\"{but}\"")).collect()
}

impl Told {
    pub fn of(topic: &str, event: &[u8]) -> Option<Self> {
        match topic {
            "/tasks/create" => {
                let TaskCreate { container_id: id, pid, .. } = TaskCreate::decode(event).ok()?;
                (pid > 1).then_some(Self::Began { id, pid })
            }
            // Of an exec, `id` is the exec's.
            "/tasks/exit" => {
                let exit = TaskExit::decode(event).ok()?;
                (exit.id == exit.container_id).then_some(Self::Ended { id: exit.id })
            }
            "/containers/update" => Some(Self::Changed { id: ContainerUpdate::decode(event).ok()?.id }),
            "/containers/delete" => Some(Self::Ended { id: ContainerDelete::decode(event).ok()?.id }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execs_exit_is_not_the_containers() {
        let exit = |id: &str| {
            let exit = TaskExit { container_id: "web".into(), id: id.into(), pid: 7, ..TaskExit::default() };
            Told::of("/tasks/exit", &exit.encode_to_vec())
        };
        assert_eq!(exit("web"), Some(Told::Ended { id: "web".into() }));
        assert_eq!(exit("shell"), None);
    }

    #[test]
    fn a_task_begins_with_its_pid() {
        let create = |pid| TaskCreate { container_id: "web".into(), pid, ..TaskCreate::default() };
        let told = |pid| Told::of("/tasks/create", &create(pid).encode_to_vec());
        assert_eq!(told(77), Some(Told::Began { id: "web".into(), pid: 77 }));
        assert_eq!((told(0), told(1)), (None, None));
    }

    #[test]
    fn what_is_no_event_of_ours_tells_nothing() {
        assert_eq!(Told::of("/images/create", &[]), None);
        assert_eq!(Told::of("/tasks/exit", &[0xff; 9]), None);
        assert_eq!(filters("moby")[0], "topic==\"/tasks/create\",namespace!=\"moby\"");
    }
}
