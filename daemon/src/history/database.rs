//! The database file: how it is opened, kept to its bound, and told apart from a damaged one.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// Another form of the tables means another number: what an older daemon cannot read is set aside.
const VERSION: i64 = 1;
const PAGE: u64 = 4096;
/// The write-ahead log is put into the file when it has grown to so many pages.
const LOG_PAGES: u64 = 256;
/// Of the bound, what the log and its index may take.
pub const LOG_ROOM: u64 = 4 << 20;

const TABLES: &str = "
CREATE TABLE subject(id INTEGER PRIMARY KEY, container TEXT NOT NULL, name TEXT NOT NULL, UNIQUE(container, name));
CREATE TABLE chunk(id INTEGER PRIMARY KEY AUTOINCREMENT, epoch INTEGER NOT NULL, after INTEGER NOT NULL,
  last INTEGER NOT NULL, gap_to INTEGER NOT NULL, from_ns INTEGER NOT NULL, to_ns INTEGER NOT NULL,
  events INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE present(subject INTEGER NOT NULL, chunk INTEGER NOT NULL, PRIMARY KEY(subject, chunk)) WITHOUT ROWID;
CREATE INDEX present_chunk ON present(chunk);
CREATE TABLE ended(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, container TEXT NOT NULL, name TEXT NOT NULL,
  ended_ns INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE place(one INTEGER PRIMARY KEY CHECK(one = 1), epoch INTEGER NOT NULL, last INTEGER NOT NULL,
  dropped_ns INTEGER NOT NULL);
";

/// Opens the file for writing, or makes it; a damaged one is set aside, and said so by the second value.
pub fn open(
    path: &Path,
    max_bytes: u64,
    mut damage: Option<String>,
) -> rusqlite::Result<(Connection, Option<String>)> {
    if damage.is_none() {
        match try_open(path, max_bytes) {
            Err(e) if is_damage(&e) => damage = Some(e.to_string()),
            done => return Ok((done?, None)),
        }
    }
    set_aside(path).map_err(cannot)?;
    Ok((try_open(path, max_bytes)?, damage))
}

fn try_open(path: &Path, max_bytes: u64) -> rusqlite::Result<Connection> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot)?;
    }
    // Made under its final mode; SQLite gives its log the same.
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(cannot)?;
    let db = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.busy_timeout(Duration::from_secs(2))?;
    // Before there is a page: how pages are kept track of cannot be changed later.
    db.execute_batch(&format!(
        "PRAGMA page_size={PAGE}; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; \
         PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint={LOG_PAGES}; PRAGMA journal_size_limit={}; \
         PRAGMA cache_size=-512; PRAGMA temp_store=MEMORY; PRAGMA max_page_count={};",
        LOG_PAGES * PAGE,
        pages(max_bytes)
    ))?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        0 => db.execute_batch(&format!("BEGIN; {TABLES} PRAGMA user_version={VERSION}; COMMIT;"))?,
        VERSION => {}
        // Read as damage is: set aside, and begun anew.
        _ => return Err(damage("it was made by another version")),
    }
    // What every start needs, read once; a whole check would read the whole file.
    db.query_row("SELECT count(*) FROM place", [], |row| row.get::<_, i64>(0))?;
    db.query_row("SELECT max(id) FROM chunk", [], |row| row.get::<_, Option<i64>>(0))?;
    Ok(db)
}

/// Opens the file for reading beside the writer.
pub fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(Duration::from_secs(2))?;
    db.execute_batch("PRAGMA cache_size=-256; PRAGMA temp_store=MEMORY;")?;
    Ok(db)
}

/// How many pages the file may have.
pub fn pages(max_bytes: u64) -> u64 {
    max_bytes.saturating_sub(LOG_ROOM) / PAGE
}

/// Pages that hold something, and pages of the file.
pub fn used(db: &Connection) -> rusqlite::Result<(u64, u64)> {
    let number = |pragma: &str| db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, u64>(0));
    let all = number("page_count")?;
    Ok((all.saturating_sub(number("freelist_count")?), all))
}

/// Gives so many free pages back to the file system.
pub fn shrink(db: &Connection, pages: u64) -> rusqlite::Result<()> {
    let mut vacuum = db.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// What a row of that many bytes takes, with what points to it.
pub fn pages_for(bytes: usize) -> u64 {
    bytes as u64 / (PAGE - 4) + 16
}

/// Bytes on disk: the file, its log and the log's index.
pub fn size(path: &Path) -> u64 {
    files(path).iter().filter_map(|p| fs::metadata(p).ok()).map(|m| m.len()).sum()
}

pub fn files(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        name.into()
    })
}

/// The damaged file is kept as FILE.damaged in the place of one before it: somebody may want to look.
fn set_aside(path: &Path) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    fs::rename(path, aside)?;
    for file in &files(path)[1..] {
        match fs::remove_file(file) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// Whether the file itself is at fault, and trying again would not help.
pub fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

pub fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

fn damage(why: &str) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, Some(why.to_owned()))
}

fn cannot(error: io::Error) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
    rusqlite::Error::SqliteFailure(code, Some(error.to_string()))
}
