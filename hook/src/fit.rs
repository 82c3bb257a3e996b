//! A notice has to fit into one frame. Annotations are what grows (kubectl leaves whole manifests in them),
//! so those go first that nobody looks up.

use remora_wire::{FrameError, KEY_PREFIX, Notice, frame};

/// What the daemon needs to name a container and its pod.
const USEFUL: &[&str] = &[KEY_PREFIX, "io.kubernetes.", "io.podman.", "io.container", "org.opencontainers."];

/// The frame of a notice, after leaving out of it as many annotations as it takes.
pub fn encode(notice: &mut Notice) -> Result<Vec<u8>, FrameError> {
    for prefixes in [USEFUL, &[KEY_PREFIX]] {
        match frame::encode(notice) {
            Err(FrameError::TooLarge(_)) => keep(notice, prefixes),
            result => return result,
        }
    }
    frame::encode(notice)
}

fn keep(notice: &mut Notice, prefixes: &[&str]) {
    // Not `retain`, whose removals from a tree are 5 KB of code in a binary that is read at every start.
    for (key, value) in std::mem::take(&mut notice.annotations) {
        if prefixes.iter().any(|prefix| key.starts_with(prefix)) {
            notice.annotations.insert(key, value);
        }
    }
    notice.truncated = true;
}

#[cfg(test)]
mod tests {
    use super::*;
    use remora_wire::{MAX_FRAME, Namespaces, Stage};

    /// Encodes a notice with these annotations (key, length of the value) and tells what was kept.
    fn kept(annotations: &[(&str, usize)]) -> Result<(Vec<String>, bool), FrameError> {
        let mut notice = Notice {
            stage: Stage::CreateRuntime,
            id: "c".into(),
            pid: None,
            start_time: None,
            bundle: String::new(),
            root: String::new(),
            annotations: annotations.iter().map(|(key, n)| (key.to_string(), "x".repeat(*n))).collect(),
            truncated: false,
            namespaces: Namespaces::default(),
            runtime: String::new(),
            at: 0,
        };
        let frame = encode(&mut notice)?;
        let sent: Notice = remora_wire::read_frame(&mut frame.as_slice())?;
        assert_eq!(sent, notice);
        Ok((sent.annotations.into_keys().collect(), sent.truncated))
    }

    #[test]
    fn annotations_go_in_the_order_of_their_use() {
        let (ours, pod, other) = ("io.remora.trace", "io.kubernetes.cri.sandbox-name", "com.example");
        assert_eq!(
            kept(&[(ours, 4), (pod, 9), (other, 9)]).unwrap(),
            (vec![other.into(), pod.into(), ours.into()], false)
        );
        assert_eq!(
            kept(&[(ours, 4), (pod, 9), (other, MAX_FRAME)]).unwrap(),
            (vec![pod.into(), ours.into()], true)
        );
        assert_eq!(kept(&[(ours, 4), (pod, MAX_FRAME), (other, 9)]).unwrap(), (vec![ours.into()], true));
    }

    #[test]
    fn what_cannot_be_made_to_fit_is_an_error() {
        assert!(matches!(kept(&[("io.remora.trace", MAX_FRAME)]), Err(FrameError::TooLarge(_))));
    }
}
