//! What podman keeps of its containers: in SQLite from 5.0 on, in bbolt before, and for a while one or the other. Both
//! hold the same JSON. Only what root wrote is believed, since pids are among it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, Row, params};

use super::bolt;

/// podman's own transactions take milliseconds.
const BUSY: Duration = Duration::from_millis(100);
const MAX_CONTAINERS: usize = 16_384;
const QUERY: &str = "SELECT c.JSON, s.JSON, p.JSON FROM ContainerConfig c JOIN ContainerState s ON s.ID = c.ID \
    LEFT JOIN PodConfig p ON p.ID = c.PodID";

/// JSON documents of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Documents {
    pub config: Vec<u8>,
    pub state: Vec<u8>,
    pub pod: Option<Vec<u8>>,
}

/// The databases of one storage, whether they are there or not.
pub fn files(storage: &Path) -> [PathBuf; 2] {
    [storage.join("db.sql"), storage.join("libpod/bolt_state.db")]
}

/// One container. None: the storage knows no such container.
pub fn container(storage: &Path, id: &str) -> io::Result<Option<Documents>> {
    Ok(look(storage, Some(id))?.pop())
}

pub fn containers(storage: &Path) -> io::Result<Vec<Documents>> {
    look(storage, None)
}

fn look(storage: &Path, id: Option<&str>) -> io::Result<Vec<Documents>> {
    let [sqlite, bolt] = files(storage);
    let mut missing = 0;
    for (path, read) in [(sqlite, from_sqlite as fn(&Path, Option<&str>) -> _), (bolt, from_bolt)] {
        match fs::symlink_metadata(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => missing += 1,
            Err(e) => return Err(e),
            Ok(meta) if meta.uid() != 0 => {
                let why = format!("{} belongs to user {}, not to root", path.display(), meta.uid());
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
            }
            Ok(_) => {
                let found: Vec<Documents> = read(&path, id)
                    .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
                if !found.is_empty() {
                    return Ok(found);
                }
            }
        }
    }
    if missing == 2 {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "it has neither db.sql nor libpod/bolt_state.db",
        ));
    }
    Ok(Vec::new())
}

fn from_sqlite(path: &Path, id: Option<&str>) -> io::Result<Vec<Documents>> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let documents = |row: &Row| {
        // podman 5.0 wrote text, 5.4 writes blobs.
        let bytes = |n: usize| -> rusqlite::Result<Option<Vec<u8>>> {
            Ok(row.get_ref(n)?.as_bytes_or_null()?.map(<[u8]>::to_vec))
        };
        Ok(Documents {
            config: bytes(0)?.unwrap_or_default(),
            state: bytes(1)?.unwrap_or_default(),
            pod: bytes(2)?,
        })
    };
    let query = || -> rusqlite::Result<Vec<Documents>> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        match id {
            Some(id) => {
                let mut query = connection.prepare(&format!("{QUERY} WHERE c.ID = ?1"))?;
                query.query_map(params![id], documents)?.collect()
            }
            None => {
                let mut query = connection.prepare(&format!("{QUERY} LIMIT {MAX_CONTAINERS}"))?;
                query.query_map([], documents)?.collect()
            }
        }
    };
    query().map_err(|e| io::Error::other(e.to_string()))
}

fn from_bolt(path: &Path, id: Option<&str>) -> io::Result<Vec<Documents>> {
    bolt::read(path, |snapshot| {
        let ids = match id {
            Some(id) => vec![id.as_bytes().to_vec()],
            None => {
                let all = snapshot.bucket(&[b"ctr"])?.unwrap_or_default();
                all.into_iter().map(|(id, _)| id).take(MAX_CONTAINERS).collect()
            }
        };
        let mut found = Vec::new();
        for id in ids {
            let Some(entries) = snapshot.bucket(&[b"ctr", &id])? else { continue };
            let value =
                |name: &[u8]| entries.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
            let pod = match value(b"pod-id") {
                Some(pod) => snapshot.bucket(&[b"pod", &pod])?,
                None => None,
            };
            let pod = pod.and_then(|entries| entries.into_iter().find(|(key, _)| key == b"config"));
            let document = |name| value(name).unwrap_or_default();
            found.push(Documents {
                config: document(b"config"),
                state: document(b"state"),
                pod: pod.map(|(_, v)| v),
            });
        }
        Ok(found)
    })
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A database as podman 5 makes it, with one container.
    pub fn sqlite(storage: &Path, id: &str, config: &str, state: &str) {
        let connection = Connection::open(storage.join("db.sql")).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE IF NOT EXISTS PodConfig(ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, JSON TEXT NOT NULL);
                 CREATE TABLE IF NOT EXISTS ContainerConfig(ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, PodID TEXT, JSON TEXT NOT NULL);
                 CREATE TABLE IF NOT EXISTS ContainerState(ID TEXT PRIMARY KEY NOT NULL, State INTEGER NOT NULL, ExitCode INTEGER, JSON TEXT NOT NULL);
                 INSERT OR IGNORE INTO PodConfig VALUES ('p1', 'web', '{\"id\":\"p1\",\"name\":\"web\",\"labels\":{\"app\":\"shop\"}}');",
            )
            .unwrap();
        connection
            .execute("INSERT INTO ContainerConfig VALUES (?1, ?1, 'p1', ?2)", params![id, config])
            .unwrap();
        connection
            .execute("INSERT INTO ContainerState VALUES (?1, 3, NULL, ?2)", params![id, state])
            .unwrap();
    }

    #[test]
    fn sqlite_is_asked_for_one_or_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let error = containers(dir.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        sqlite(dir.path(), "a", "{\"n\":1}", "{}");
        sqlite(dir.path(), "b", "{\"n\":2}", "{}");
        let connection = Connection::open(dir.path().join("db.sql")).unwrap();
        let blobs = "UPDATE ContainerConfig SET JSON = CAST(JSON AS BLOB) WHERE ID = 'b'; UPDATE PodConfig SET JSON = CAST(JSON AS BLOB)";
        connection.execute_batch(blobs).unwrap();
        assert_eq!(containers(dir.path()).unwrap().len(), 2);
        let b = container(dir.path(), "b").unwrap().unwrap();
        assert_eq!((b.config.as_slice(), b.state.as_slice()), (&b"{\"n\":2}"[..], &b"{}"[..]));
        assert!(b.pod.is_some_and(|pod| pod.starts_with(b"{\"id\":\"p1\"")));
        assert_eq!(container(dir.path(), "c' OR 1=1 --").unwrap(), None);
    }

    #[test]
    fn a_writer_that_takes_its_time_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        sqlite(dir.path(), "a", "{}", "{}");
        let writer = Connection::open(dir.path().join("db.sql")).unwrap();
        writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let start = std::time::Instant::now();
        assert!(container(dir.path(), "a").unwrap_err().to_string().contains("locked"));
        assert!(start.elapsed() < BUSY * 20, "{:?}", start.elapsed());
    }

    #[test]
    fn what_is_no_database_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("db.sql"), "no database").unwrap();
        assert!(containers(dir.path()).unwrap_err().to_string().contains("db.sql"));
        fs::remove_file(dir.path().join("db.sql")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("db.sql")).unwrap();
        assert!(containers(dir.path()).is_err());
    }

    #[test]
    fn what_another_user_wrote_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        sqlite(dir.path(), "a", "{}", "{}");
        if std::os::unix::fs::chown(dir.path().join("db.sql"), Some(65_534), None).is_ok() {
            assert!(container(dir.path(), "a").unwrap_err().to_string().contains("belongs to user 65534"));
        }
    }
}
