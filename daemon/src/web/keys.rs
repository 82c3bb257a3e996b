//! Who may use the page: a link's key is good for one session, or the key is in a file of the administrator's. A session is
//! sent as a bearer and not as a cookie, which a browser would show to every port of this machine.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

use crate::api::remote::{read_token, same};

/// Sessions at a time; of more, the oldest ends.
const SESSIONS: usize = 32;
/// Bytes of what is made up here.
const SECRET: usize = 16;

#[derive(Debug)]
pub struct Keys {
    /// Holds the key that is good for any number of sessions.
    file: Option<PathBuf>,
    /// The key of the next link, if there is no such file.
    link: watch::Sender<String>,
    /// Short waits alone: never held over an await.
    sessions: Mutex<VecDeque<Session>>,
}

#[derive(Debug)]
struct Session {
    secret: String,
    key: String,
}

impl Keys {
    /// A key file that cannot be read is found out now.
    pub fn new(file: Option<&Path>) -> std::io::Result<Self> {
        file.map(read_token).transpose()?;
        Ok(Self {
            file: file.map(Path::to_owned),
            link: watch::Sender::new(secret()?),
            sessions: Mutex::default(),
        })
    }

    /// Tells of each key of a link, once the one before it was used.
    pub fn links(&self) -> watch::Receiver<String> {
        self.link.subscribe()
    }

    /// The secret of a new session, if the key is right.
    pub fn enter(&self, key: &[u8]) -> Option<String> {
        let new = secret().ok()?;
        let wanted = self.key().filter(|wanted| same(key, wanted.as_bytes()))?;
        if self.file.is_none() {
            let next = secret().ok()?;
            // Of two with the same link at the same moment, the first.
            let used = |link: &mut String| {
                *link == wanted && {
                    *link = next;
                    true
                }
            };
            if !self.link.send_if_modified(used) {
                return None;
            }
        }
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.truncate(SESSIONS - 1);
        sessions.push_front(Session { secret: new.clone(), key: wanted });
        Some(new)
    }

    /// Whether it is a session's secret. With another key in the file, sessions of the former one have ended.
    pub fn knows(&self, session: &[u8]) -> bool {
        let key = self.file.is_some().then(|| self.key());
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut mine = sessions.iter().filter(|s| same(session, s.secret.as_bytes()));
        mine.any(|s| key.as_ref().is_none_or(|key| key.as_ref() == Some(&s.key)))
    }

    fn key(&self) -> Option<String> {
        let Some(path) = &self.file else { return Some(self.link.borrow().clone()) };
        read_token(path).inspect_err(|e| eprintln!("remora: failed to read {}: {e}", path.display())).ok()
    }
}

/// Nobody guesses it.
fn secret() -> std::io::Result<String> {
    let mut bytes = [0; SECRET];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_once() {
        let keys = Keys::new(None).unwrap();
        let link = keys.links().borrow().clone();
        assert_eq!(keys.enter(b"guessed"), None);
        let session = keys.enter(link.as_bytes()).unwrap();
        assert_eq!(keys.enter(link.as_bytes()), None);
        assert!(keys.knows(session.as_bytes()) && !keys.knows(link.as_bytes()) && !keys.knows(b""));
        let next = keys.links().borrow().clone();
        assert!(next != link && keys.enter(next.as_bytes()).is_some());
        assert!(keys.knows(session.as_bytes()), "the first session goes on");
    }

    #[test]
    fn sessions_are_bounded() {
        let keys = Keys::new(None).unwrap();
        let link = || keys.links().borrow().clone();
        let enter = || {
            let link = link();
            keys.enter(link.as_bytes()).unwrap()
        };
        let first = enter();
        let more: Vec<String> = (0..SESSIONS).map(|_| enter()).collect();
        assert!(!keys.knows(first.as_bytes()) && more.iter().all(|session| keys.knows(session.as_bytes())));
    }

    #[test]
    fn another_key_in_the_file_ends_sessions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert!(Keys::new(Some(&path)).is_err());
        std::fs::write(&path, "0123456789abcdef-one\n").unwrap();
        let keys = Keys::new(Some(&path)).unwrap();
        let session = keys.enter(b"0123456789abcdef-one").unwrap();
        assert!(keys.knows(session.as_bytes()));
        assert!(keys.enter(b"0123456789abcdef-one").is_some(), "any number of times");
        std::fs::write(&path, "0123456789abcdef-two").unwrap();
        assert!(!keys.knows(session.as_bytes()));
        std::fs::remove_file(&path).unwrap();
        assert!(!keys.knows(session.as_bytes()) && keys.enter(b"").is_none());
    }
}
