use serde_json::json;

use super::Behaviour;
use crate::event::Event;
use crate::meaning::Meanings;

/// Of one of the shipped tracers' events.
fn of(tracer: &str, name: &str, members: serde_json::Value) -> Option<(String, String, String, String)> {
    let mut event = json!({"time": "2026-01-01T00:00:00Z", "event": {"name": name, "tracer": tracer},
        "container": {"id": "c", "name": "c"}, "process": {"pid": 1, "comm": "worker-123"}});
    for (key, value) in members.as_object().unwrap() {
        match event[key].as_object_mut() {
            Some(there) => there.extend(value.as_object().unwrap().clone()),
            None => event[key] = value.clone(),
        }
    }
    let event = Event::parse(event.to_string().as_bytes()).unwrap();
    let b = Behaviour::of(&event, Meanings::shipped().get(tracer, name).unwrap())?;
    let attribute = b.attribute();
    Some((b.class, b.operation, b.role, attribute))
}

fn is(class: &str, operation: &str, role: &str, attribute: &str) -> Option<(String, String, String, String)> {
    Some((class.into(), operation.into(), role.into(), attribute.into()))
}

#[test]
fn what_is_executed_is_by_program_and_template_and_who_did_it() {
    let exec = json!({"process": {"executable": {"path": "/usr/bin/id"}, "command_args": ["id", "-u", "1000"]},
        "exec": {"origin": "image", "parent_comm": "nginx"}});
    assert_eq!(of("exec", "exec", exec), is("executed", "exec:image", "nginx", "/usr/bin/id -u #"));
    assert_eq!(of("exec", "exit", json!({})), None);
}

#[test]
fn files_are_read_or_written() {
    let open = |flags: &str| json!({"file": {"path": "/tmp/x"}, "open": {"flags": flags, "created": true}});
    assert_eq!(
        of("file", "open", open("O_RDONLY|O_CLOEXEC")),
        is("opened", "open:created,read", "worker-#", "/tmp/x")
    );
    assert_eq!(
        of("file", "open", open("O_RDWR|O_CREAT")),
        is("opened", "open:created,write", "worker-#", "/tmp/x")
    );
    let failed = json!({"file": {"path": "/etc/x"}, "open": {"flags": "O_RDONLY", "error": "ENOENT"}});
    assert_eq!(of("file", "open", failed), is("opened", "open:read!", "worker-#", "/etc/x"));
    let chmod = json!({"file": {"path": "/bin/x", "mode": "4755"}});
    assert_eq!(of("file", "chmod", chmod), is("changed", "chmod", "worker-#", "/bin/x 4755"));
}

#[test]
fn peers_are_by_class_of_address_and_port() {
    let to = |address: &str, port: u16| json!({"network": {"peer": {"address": address, "port": port}}});
    assert_eq!(
        of("tcp", "connect", to("10.2.3.4", 5432)),
        is("connected", "connect", "worker-#", "private 10.2.0.0/16 5432")
    );
    assert_eq!(
        of("tcp", "connect", to("127.0.0.1", 50000)),
        is("connected", "connect", "worker-#", "loopback ephemeral")
    );
    let asked = json!({"dns": {"question": {"name": "x1.y.example.com", "type": "A"}},
        "network": {"peer": {"address": "127.0.0.53"}}, "answer": {"direction": "outgoing", "rcode": "NOERROR"}});
    let operation = "answer:A,outgoing,NOERROR";
    assert_eq!(of("dns", "answer", asked), is("asked", operation, "worker-#", "#.y.example.com. loopback"));
}

#[test]
fn what_has_no_object_is_its_own() {
    let used = json!({"first_use": {"syscall": "ptrace"}});
    assert_eq!(of("syscall", "first_use", used), is("first_use", "first_use", "worker-#", "ptrace"));
    let signal = json!({"signal": {"signal": "SIGTERM", "direction": "internal"}});
    assert_eq!(of("signal", "signal", signal), is("signal", "signal:internal", "worker-#", "SIGTERM"));
    let traced = json!({"ptrace": {"call": "ptrace", "request": "PTRACE_ATTACH"}});
    assert_eq!(of("guard", "ptrace", traced), is("ptrace", "ptrace", "worker-#", "PTRACE_ATTACH"));
}
