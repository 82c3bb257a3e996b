//! The reading side: events of a time, of a container or behind a cursor, a few at a time.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use super::chunk::Chunk;
use super::database;
use crate::registry::record::is_meant;

/// Rows looked at before an answer is given, and their bytes: whoever asked turns them into text at one go.
const ROWS: usize = 64;
const BYTES: usize = 64 << 10;

#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Not before.
    pub since: Option<u64>,
    /// Not later.
    pub until: Option<u64>,
    /// Only behind this cursor of this ring, and of rings after it.
    pub after: Option<(u64, u64)>,
    /// Id, beginning of an id, or name.
    pub container: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Event {
        epoch: u64,
        cursor: u64,
        unix_ns: u64,
        line: Vec<u8>,
    },
    /// Events behind the first cursor up to the second are missing.
    Gap {
        /// The ring that they are of; 0 if what is missing is older than what is kept.
        epoch: u64,
        after: u64,
        to: u64,
    },
}

/// A walk through the store. Each step is a look of its own, so that the writer never waits for a slow reader.
#[derive(Debug)]
pub struct Reading {
    path: PathBuf,
    db: Option<Connection>,
    query: Query,
    /// The row looked at last.
    at: i64,
    begun: bool,
    /// Ring and cursor up to which there is nothing more to be found.
    reached: Option<(u64, u64)>,
}

impl Reading {
    pub fn new(path: &Path, query: Query) -> Self {
        Self { path: path.to_owned(), db: None, at: 0, begun: false, reached: query.after, query }
    }

    pub fn reached(&self) -> Option<(u64, u64)> {
        self.reached
    }

    /// The next events, in their order; None when there are no more for now.
    pub fn more(&mut self) -> rusqlite::Result<Option<Vec<Item>>> {
        let db = match self.db.take() {
            Some(db) => db,
            None => database::reader(&self.path)?,
        };
        let found = self.look(&db);
        self.db = Some(db);
        found
    }

    /// At one moment: what the writer's place says belongs to the rows that were seen.
    fn look(&mut self, db: &Connection) -> rusqlite::Result<Option<Vec<Item>>> {
        let look = db.unchecked_transaction()?;
        let mut items = Vec::new();
        if !std::mem::replace(&mut self.begun, true) {
            items.extend(before(&look, &self.query)?);
            if let Some(after) = self.query.after {
                let place = behind(&look, after)?;
                items.extend(place.is_none().then(|| gone(&look, after.1)).transpose()?);
                self.at = place.unwrap_or(0);
            }
        }
        let meant = self.query.container.as_ref().map(|wanted| subjects(&look, wanted)).transpose()?;
        let rows = chunks(&look, &self.query, meant.as_deref(), self.at)?;
        for (id, row) in &rows {
            self.at = *id;
            self.reached = Some((row.epoch, row.last));
            row.items(&self.query, meant.as_deref(), &mut items);
        }
        if rows.is_empty() {
            // What is of no concern is passed over; the writer's place says how far that is.
            self.reached = place(&look)?.filter(|p| self.passes(*p)).or(self.reached);
        }
        Ok((!rows.is_empty() || !items.is_empty()).then_some(items))
    }

    /// Whether the writer's place lies behind what was read, in the same ring or a later one.
    fn passes(&self, place: (u64, u64)) -> bool {
        self.reached.is_none_or(|(epoch, last)| place.0 != epoch || place.1 > last)
    }
}

struct Row {
    epoch: u64,
    after: u64,
    last: u64,
    gap_to: u64,
    body: Vec<u8>,
}

impl Row {
    fn items(&self, query: &Query, meant: Option<&[u32]>, out: &mut Vec<Item>) {
        if self.gap_to > self.after {
            out.push(Item::Gap { epoch: self.epoch, after: self.after, to: self.gap_to });
        }
        let Some(chunk) = Chunk::unpack(&self.body) else {
            tracing::warn!("a row of the history is damaged: events up to cursor {} are missing", self.last);
            out.push(Item::Gap { epoch: self.epoch, after: self.after, to: self.last });
            return;
        };
        let wanted = |e: &&super::chunk::Entry| {
            query.since.is_none_or(|since| e.unix_ns >= since)
                && query.until.is_none_or(|until| e.unix_ns <= until)
                && query.after.is_none_or(|(epoch, after)| epoch != self.epoch || e.cursor > after)
                && meant.is_none_or(|m| m.contains(&e.subject))
        };
        out.extend(chunk.entries.iter().filter(wanted).map(|e| Item::Event {
            epoch: self.epoch,
            cursor: e.cursor,
            unix_ns: e.unix_ns,
            line: chunk.line(e).to_vec(),
        }));
    }
}

/// Whether what was asked for began before what is kept.
fn before(db: &Connection, query: &Query) -> rusqlite::Result<Option<Item>> {
    let dropped: u64 =
        db.query_row("SELECT coalesce(max(dropped_ns), 0) FROM place", [], |row| row.get(0))?;
    if query.since.is_none_or(|since| dropped < since) {
        return Ok(None);
    }
    gone(db, 0).map(Some)
}

/// What is missing up to the first that is kept.
fn gone(db: &Connection, after: u64) -> rusqlite::Result<Item> {
    let first =
        db.query_row("SELECT after FROM chunk ORDER BY id LIMIT 1", [], |row| row.get(0)).optional()?;
    Ok(Item::Gap { epoch: 0, after, to: first.unwrap_or_default() })
}

/// The last row that has nothing behind the cursor; none if nothing of its ring is left.
fn behind(db: &Connection, (epoch, after): (u64, u64)) -> rusqlite::Result<Option<i64>> {
    let id = |query: &str, of: &[&dyn rusqlite::ToSql]| db.query_row(query, of, |row| row.get(0)).optional();
    let had = "SELECT id FROM chunk WHERE epoch = ?1 AND last <= ?2 ORDER BY id DESC LIMIT 1";
    if let Some(id) = id(had, &[&epoch, &after])? {
        return Ok(Some(id));
    }
    if let Some(first) = id("SELECT id FROM chunk WHERE epoch = ?1 ORDER BY id LIMIT 1", &[&epoch])? {
        return Ok(Some(first - 1));
    }
    // Of the writer's own ring there is just nothing yet.
    let is_current = place(db)?.is_none_or(|(of, _)| of == epoch);
    let last = || id("SELECT id FROM chunk ORDER BY id DESC LIMIT 1", &[]);
    if is_current { Ok(Some(last()?.unwrap_or(0))) } else { Ok(None) }
}

fn place(db: &Connection) -> rusqlite::Result<Option<(u64, u64)>> {
    let mut found = db.prepare("SELECT epoch, last FROM place")?;
    let mut rows = found.query([])?;
    rows.next()?.map(|row| Ok((row.get(0)?, row.get(1)?))).transpose()
}

fn subjects(db: &Connection, wanted: &str) -> rusqlite::Result<Vec<u32>> {
    let mut all = db.prepare("SELECT id, container, name FROM subject")?;
    let rows =
        all.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)))?;
    let mut out = Vec::new();
    for row in rows {
        let (id, container, name) = row?;
        if is_meant(wanted, &container, &name) {
            out.push(id);
        }
    }
    Ok(out)
}

/// A few rows that may hold what is wanted, or a gap.
fn chunks(
    db: &Connection,
    query: &Query,
    meant: Option<&[u32]>,
    at: i64,
) -> rusqlite::Result<Vec<(i64, Row)>> {
    let list = |ids: &[u32]| ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let of = meant.map_or_else(String::new, |ids| {
        format!("AND (gap_to > 0 OR id IN (SELECT chunk FROM present WHERE subject IN ({})))", list(ids))
    });
    let text = format!(
        "SELECT id, epoch, after, last, gap_to, body FROM chunk \
         WHERE id > ?1 AND to_ns >= ?2 AND from_ns <= ?3 {of} ORDER BY id LIMIT {ROWS}"
    );
    let mut found = db.prepare(&text)?;
    let (since, until) = (query.since.unwrap_or(0), query.until.unwrap_or(i64::MAX as u64));
    let mut rows = found.query(params![at, since, until])?;
    let (mut out, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()?.filter(|_| bytes < BYTES) {
        let (id, body): (i64, Vec<u8>) = (row.get(0)?, row.get(5)?);
        bytes += body.len();
        let (epoch, after, last) = (row.get(1)?, row.get(2)?, row.get(3)?);
        out.push((id, Row { epoch, after, last, gap_to: row.get(4)?, body }));
    }
    Ok(out)
}

/// Accounts of ended containers, newest first; of those that `wanted` names, or of all.
pub fn ended(path: &Path, wanted: Option<&str>, most: usize) -> rusqlite::Result<Vec<Vec<u8>>> {
    let db = database::reader(path)?;
    let mut found = db.prepare("SELECT container, name, body FROM ended ORDER BY ended_ns DESC")?;
    let mut rows = found.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()?.filter(|_| out.len() < most) {
        let (container, name): (String, String) = (row.get(0)?, row.get(1)?);
        if wanted.is_none_or(|w| is_meant(w, &container, &name)) {
            let body: Vec<u8> = row.get(2)?;
            out.extend(miniz_oxide::inflate::decompress_to_vec_with_limit(&body, 16 << 20).ok());
        }
    }
    Ok(out)
}
