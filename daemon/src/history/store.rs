//! The writing side: chunks of events and accounts of ended containers, the oldest of which make room.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::chunk::Builder;
use super::database::{self, pages, pages_for, used};

/// Where storing goes on: a cursor, and the ring that it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub epoch: u64,
    pub last: u64,
}

/// Events to be stored as one, with what is missing before them.
#[derive(Debug)]
pub struct Batch<'b> {
    pub events: &'b Builder,
    /// Events behind this cursor …
    pub after: u64,
    /// … up to this one are missing; 0: none.
    pub gap_to: u64,
}

/// The account of a container that ended.
#[derive(Debug)]
pub struct Ended<'e> {
    /// Of one generation.
    pub key: &'e str,
    pub container: &'e str,
    pub name: &'e str,
    pub unix_ns: u64,
    pub body: &'e [u8],
}

#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
    max_bytes: u64,
    max_age_ns: u64,
    /// Whom events are about, by id and name.
    subjects: HashMap<(String, String), u32>,
    /// Something made room: subjects may have nothing left.
    dropped: bool,
}

impl Store {
    /// Opens the file or makes it; one that is damaged, or known to be, is set aside, and why is said.
    pub fn open(
        path: &Path,
        max_bytes: u64,
        max_age_ns: u64,
        damage: Option<String>,
    ) -> rusqlite::Result<(Self, Option<String>)> {
        let (db, damage) = database::open(path, max_bytes, damage)?;
        let (path, subjects) = (path.to_owned(), HashMap::new());
        let mut store = Self { db, path, max_bytes, max_age_ns, subjects, dropped: true };
        store.fit()?;
        Ok((store, damage))
    }

    /// The bound may have been larger when the file was last written.
    fn fit(&mut self) -> rusqlite::Result<()> {
        while used(&self.db)?.0 > pages(self.max_bytes) {
            let change = self.db.transaction()?;
            if !drop_oldest(&change)? {
                break;
            }
            change.commit()?;
        }
        let (_, all) = used(&self.db)?;
        let over = all.saturating_sub(pages(self.max_bytes));
        if over > 0 {
            database::shrink(&self.db, over)?;
            // A bound below the file's size is not taken; now it is.
            self.db.execute_batch(&format!("PRAGMA max_page_count={}", pages(self.max_bytes)))?;
        }
        Ok(())
    }

    pub fn place(&self) -> rusqlite::Result<Option<Place>> {
        let place = |row: &rusqlite::Row<'_>| Ok(Place { epoch: row.get(0)?, last: row.get(1)? });
        self.db.query_row("SELECT epoch, last FROM place", [], place).optional()
    }

    /// The number by which chunks know a container.
    pub fn subject(&mut self, id: &str, name: &str) -> rusqlite::Result<u32> {
        let key = (id.to_owned(), name.to_owned());
        if let Some(known) = self.subjects.get(&key) {
            return Ok(*known);
        }
        self.db
            .execute("INSERT OR IGNORE INTO subject(container, name) VALUES (?1, ?2)", params![id, name])?;
        let find = "SELECT id FROM subject WHERE container = ?1 AND name = ?2";
        let number = self.db.query_row(find, params![id, name], |row| row.get(0))?;
        self.subjects.insert(key, number);
        Ok(number)
    }

    /// Stores events, and where to go on, at once or not at all.
    pub fn append(&mut self, epoch: u64, batch: &Batch<'_>, subjects: &[u32]) -> rusqlite::Result<()> {
        let body = batch.events.pack();
        let last = batch.events.last.max(batch.gap_to).max(batch.after);
        let now = remora_wire::time::unix_ns();
        let (from, to) = batch.events.times.unwrap_or((now, now));
        let change = self.db.transaction()?;
        self.dropped |=
            make_room(&change, pages(self.max_bytes), pages_for(body.len() + 32 * subjects.len()))?;
        change
            .prepare_cached(
                "INSERT INTO chunk(epoch, after, last, gap_to, from_ns, to_ns, events, body) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![epoch, batch.after, last, batch.gap_to, from, to, batch.events.events, body])?;
        let chunk = change.last_insert_rowid();
        for subject in subjects {
            change
                .prepare_cached("INSERT OR IGNORE INTO present(subject, chunk) VALUES (?1, ?2)")?
                .execute(params![subject, chunk])?;
        }
        set_place(&change, Place { epoch, last })?;
        change.commit()
    }

    /// Stores where to go on alone: nothing before it is owed.
    pub fn begin(&mut self, place: Place) -> rusqlite::Result<()> {
        let change = self.db.transaction()?;
        set_place(&change, place)?;
        change.commit()
    }

    /// Stores the account of a generation, once.
    pub fn ended(&mut self, ended: &Ended<'_>) -> rusqlite::Result<()> {
        let change = self.db.transaction()?;
        self.dropped |= make_room(&change, pages(self.max_bytes), pages_for(ended.body.len()))?;
        change.execute(
            "INSERT INTO ended(key, container, name, ended_ns, body) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT(key) DO NOTHING",
            params![ended.key, ended.container, ended.name, ended.unix_ns, ended.body],
        )?;
        change.commit()
    }

    /// Drops what is older than the bound; subjects nothing is left of; free pages, if there are many.
    pub fn tidy(&mut self, now: u64) -> rusqlite::Result<()> {
        let old = now.saturating_sub(self.max_age_ns);
        let change = self.db.transaction()?;
        let next = "SELECT id, to_ns FROM chunk ORDER BY id LIMIT 1";
        let mut dropped = 0;
        while let Some((id, to)) = first(&change, next)?.filter(|(_, to)| *to < old) {
            drop_chunk(&change, id, to)?;
            dropped += 1;
        }
        dropped += change.execute("DELETE FROM ended WHERE ended_ns < ?1", params![old])?;
        if std::mem::take(&mut self.dropped) || dropped > 0 {
            change.execute("DELETE FROM subject WHERE id NOT IN (SELECT subject FROM present)", [])?;
            self.subjects.clear();
        }
        change.commit()?;
        let (used, all) = used(&self.db)?;
        if all - used > (all / 4).max(256) {
            database::shrink(&self.db, all - used)?;
        }
        Ok(())
    }

    /// Bytes on disk.
    pub fn size(&self) -> u64 {
        database::size(&self.path)
    }
}

/// Of a new file it is also said that nothing before it is there.
fn set_place(change: &Transaction<'_>, place: Place) -> rusqlite::Result<()> {
    change
        .prepare_cached(
            "INSERT INTO place(one, epoch, last, dropped_ns) VALUES (1, ?1, ?2, ?3) \
             ON CONFLICT(one) DO UPDATE SET epoch = excluded.epoch, last = excluded.last",
        )?
        .execute(params![place.epoch, place.last, remora_wire::time::unix_ns()])?;
    Ok(())
}

/// Drops what is oldest until so many pages are free within the bound; whether anything was.
fn make_room(change: &Transaction<'_>, room: u64, wanted: u64) -> rusqlite::Result<bool> {
    let mut dropped = false;
    while used(change)?.0 + wanted > room && drop_oldest(change)? {
        dropped = true;
    }
    Ok(dropped)
}

/// Whether there was something to drop.
fn drop_oldest(change: &Transaction<'_>) -> rusqlite::Result<bool> {
    let chunk = first(change, "SELECT id, to_ns FROM chunk ORDER BY id LIMIT 1")?;
    let ended = first(change, "SELECT id, ended_ns FROM ended ORDER BY ended_ns LIMIT 1")?;
    match (chunk, ended) {
        (None, None) => return Ok(false),
        (Some((id, to)), ended) if ended.is_none_or(|(_, at)| to <= at) => drop_chunk(change, id, to)?,
        (_, Some((id, _))) => drop(change.execute("DELETE FROM ended WHERE id = ?1", params![id])?),
        (Some((id, to)), None) => drop_chunk(change, id, to)?,
    }
    Ok(true)
}

fn drop_chunk(change: &Transaction<'_>, id: i64, to: u64) -> rusqlite::Result<()> {
    change.execute("DELETE FROM present WHERE chunk = ?1", params![id])?;
    change.execute("DELETE FROM chunk WHERE id = ?1", params![id])?;
    change.execute("UPDATE place SET dropped_ns = max(dropped_ns, ?1)", params![to])?;
    Ok(())
}

fn first(change: &Transaction<'_>, query: &str) -> rusqlite::Result<Option<(i64, u64)>> {
    change.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?))).optional()
}
