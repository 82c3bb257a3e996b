//! podman's own database before 5.0: a bbolt file, read without its lock.
//!
//! A transaction writes to pages that neither the state before it nor the one that it makes refers to, and its
//! meta page last. So what was read is whole if the newest meta page is the same afterwards: the writer after next,
//! who may use our pages again, has not begun. Everything is bounded: the file may be damaged.

use std::{
    cell::Cell,
    fs::{File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use crate::tracer::keep::fnv1a;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// Of a page: id, flags, count, overflow.
const HEADER: usize = 16;
const META: usize = HEADER + 64;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
const TRIES: usize = 8;
/// In one bucket, with those on the way to it.
const MAX_PAGES: usize = 16_384;
const MAX_BYTES: usize = 64 << 20;
const MAX_DEPTH: usize = 32;
const MAX_PAGE_BYTES: usize = 16 << 20;

#[derive(Debug)]
pub struct Snapshot {
    file: File,
    page_size: usize,
    root: u64,
    transaction: u64,
    /// Pages that may still be read, and bytes that may still be copied.
    left: Cell<usize>,
    room: Cell<usize>,
}

/// Key and value; the value of a bucket is its description.
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads from one state of the database.
pub fn read<T>(path: &Path, reader: impl Fn(&Snapshot) -> io::Result<T>) -> io::Result<T> {
    for _ in 0..TRIES {
        let snapshot = Snapshot::open(path)?;
        let result = reader(&snapshot);
        if snapshot.is_current()? {
            return result;
        }
    }
    Err(io::Error::other("it changes all the time"))
}

impl Snapshot {
    fn open(path: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(invalid("it is no regular file"));
        }
        let (page_size, root, transaction) = newest(&file)?;
        Ok(Self { file, page_size, root, transaction, left: Cell::default(), room: Cell::default() })
    }

    fn is_current(&self) -> io::Result<bool> {
        Ok(newest(&self.file)?.2 == self.transaction)
    }

    /// What is in a bucket, by the names on the way to it. None: there is no such bucket.
    pub fn bucket(&self, path: &[&[u8]]) -> io::Result<Option<Entries>> {
        self.left.set(MAX_PAGES);
        self.room.set(MAX_BYTES);
        let mut entries = self.page(self.root)?;
        for name in path {
            let Some((_, value)) = entries.into_iter().find(|(key, _)| key == name) else { return Ok(None) };
            entries = self.entries(&value)?;
        }
        Ok(Some(entries))
    }

    /// A bucket by its description: where its root page is, or that page itself.
    fn entries(&self, bucket: &[u8]) -> io::Result<Entries> {
        match number(bucket, 0)? {
            0 => {
                let mut all = Vec::new();
                self.node(bucket.get(HEADER..).unwrap_or_default(), 0, &mut all)?;
                Ok(all)
            }
            root => self.page(root),
        }
    }

    fn page(&self, id: u64) -> io::Result<Entries> {
        let mut all = Vec::new();
        self.node(&self.load(id)?, 0, &mut all)?;
        Ok(all)
    }

    fn node(&self, page: &[u8], depth: usize, all: &mut Entries) -> io::Result<()> {
        if depth > MAX_DEPTH {
            return Err(invalid("its pages are nested too deeply"));
        }
        let (flags, count) = (short(page, 8)?, usize::from(short(page, 10)?));
        for at in (0..count).map(|n| HEADER + n * 16) {
            if flags & BRANCH != 0 {
                self.node(&self.load(number(page, at + 8)?)?, depth + 1, all)?;
            } else if flags & LEAF != 0 {
                let [position, key, value] = [4, 8, 12].map(|o| word(page, at + o));
                let (begin, key, value) = (at + position?, key?, value?);
                let room = self.room.get().checked_sub(key + value);
                self.room.set(room.ok_or_else(|| invalid("it holds too much"))?);
                let part = |from: usize, len: usize| {
                    page.get(from..from + len)
                        .map(<[u8]>::to_vec)
                        .ok_or_else(|| invalid("an element lies outside"))
                };
                all.push((part(begin, key)?, part(begin + key, value)?));
            }
        }
        Ok(())
    }

    /// A page with those that follow it.
    fn load(&self, id: u64) -> io::Result<Vec<u8>> {
        let begin = id.checked_mul(self.page_size as u64).ok_or_else(|| invalid("a page lies outside"))?;
        let mut header = [0; HEADER];
        self.file.read_exact_at(&mut header, begin)?;
        let pages = word(&header, 12)?.saturating_add(1);
        let left = self.left.get().checked_sub(pages).ok_or_else(|| invalid("it has too many pages"))?;
        self.left.set(left);
        let bytes = pages.saturating_mul(self.page_size);
        if bytes > MAX_PAGE_BYTES {
            return Err(invalid("a page is too large"));
        }
        let mut page = vec![0; bytes];
        self.file.read_exact_at(&mut page, begin)?;
        Ok(page)
    }
}

/// Page size, root page and transaction of the newer of the two meta pages.
fn newest(file: &File) -> io::Result<(usize, u64, u64)> {
    let first = meta(file, 0)?;
    // The second lies one page further; if the first is being written, that is not known.
    let sizes = first.map_or_else(|| vec![4096, 16_384, 65_536], |(size, ..)| vec![size]);
    let mut second = None;
    for size in sizes {
        second = second.or(meta(file, size as u64)?);
    }
    let newest = [first, second].into_iter().flatten().max_by_key(|(.., transaction)| *transaction);
    newest.ok_or_else(|| invalid("it is no database of bbolt"))
}

fn meta(file: &File, at: u64) -> io::Result<Option<(usize, u64, u64)>> {
    let mut page = [0; META];
    match file.read_exact_at(&mut page, at) {
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let meta = &page[HEADER..];
    let sum = fnv1a(meta[..56].iter().copied());
    let known = word(meta, 0)? == MAGIC as usize && word(meta, 4)? == VERSION as usize;
    let size = word(meta, 8)?;
    if !known || number(meta, 56)? != sum || !(512..=1 << 20).contains(&size) {
        return Ok(None);
    }
    Ok(Some((size, number(meta, 16)?, number(meta, 48)?)))
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> io::Result<[u8; N]> {
    let part = from.get(at..at + N).and_then(|part| part.try_into().ok());
    part.ok_or_else(|| invalid("a page ends too early"))
}

fn short(from: &[u8], at: usize) -> io::Result<u16> {
    Ok(u16::from_le_bytes(bytes(from, at)?))
}

fn word(from: &[u8], at: usize) -> io::Result<usize> {
    Ok(u32::from_le_bytes(bytes(from, at)?) as usize)
}

fn number(from: &[u8], at: usize) -> io::Result<u64> {
    Ok(u64::from_le_bytes(bytes(from, at)?))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    const SIZE: usize = 512;
    /// An element's value is a bucket.
    const IS_BUCKET: u32 = 1;

    /// What a leaf page holds: flags, key, value.
    type Leaf<'a> = &'a [(u32, &'a [u8], &'a [u8])];

    fn leaf(elements: Leaf) -> Vec<u8> {
        let mut page =
            [&[0; 8][..], &LEAF.to_le_bytes(), &(elements.len() as u16).to_le_bytes(), &[0; 4]].concat();
        let mut data = Vec::new();
        for (n, (flags, key, value)) in elements.iter().enumerate() {
            let position = (elements.len() - n) * 16 + data.len();
            for word in [*flags, position as u32, key.len() as u32, value.len() as u32] {
                page.extend(word.to_le_bytes());
            }
            data.extend([*key, *value].concat());
        }
        [page, data].concat()
    }

    fn meta_page(root: u64, transaction: u64) -> Vec<u8> {
        let mut meta = [MAGIC, VERSION, SIZE as u32, 0].map(u32::to_le_bytes).concat();
        meta.extend([root, 0, 0, 9, transaction].map(u64::to_le_bytes).concat());
        let sum = fnv1a(meta.iter().copied());
        [&[0; HEADER][..], &meta, &sum.to_le_bytes()].concat()
    }

    /// A file with these pages.
    fn file(pages: &[Vec<u8>]) -> tempfile::NamedTempFile {
        let mut all = Vec::new();
        for page in pages {
            let mut page = page.clone();
            let room = page.len().div_ceil(SIZE) * SIZE;
            page[12..16].copy_from_slice(&((room / SIZE - 1) as u32).to_le_bytes());
            page.resize(room, 0);
            all.extend(page);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), all).unwrap();
        file
    }

    fn sample() -> Vec<Vec<u8>> {
        let inline = [&[0; 16][..], &leaf(&[(0, b"k", b"v")])].concat();
        let elsewhere = [4u64, 0].map(u64::to_le_bytes).concat();
        let root = leaf(&[(IS_BUCKET, b"in", &inline), (IS_BUCKET, b"out", &elsewhere)]);
        // A branch, then two leaves, the first of several pages.
        let branch = [&[0; 8][..], &BRANCH.to_le_bytes(), &2u16.to_le_bytes(), &[0; 4]].concat();
        let child = |page: u64| [&[0; 8][..], &page.to_le_bytes()].concat();
        let branch = [branch, child(5), child(8)].concat();
        let large = vec![b'x'; SIZE * 2];
        vec![
            meta_page(9, 7),
            meta_page(3, 8),
            vec![0; 16],
            root,
            branch,
            leaf(&[(0, b"a", &large)]),
            leaf(&[(0, b"b", b"2")]),
        ]
    }

    fn get(path: &Path, bucket: &[&[u8]]) -> io::Result<Option<Entries>> {
        read(path, |snapshot| snapshot.bucket(bucket))
    }

    #[test]
    fn buckets_lie_within_pages_or_on_their_own() {
        let file = file(&sample());
        assert_eq!(get(file.path(), &[b"in"]).unwrap().unwrap(), [(b"k".to_vec(), b"v".to_vec())]);
        let out = get(file.path(), &[b"out"]).unwrap().unwrap();
        assert_eq!(out.iter().map(|(k, v)| (k[0], v.len())).collect::<Vec<_>>(), [(b'a', 1024), (b'b', 1)]);
        assert_eq!(get(file.path(), &[b"none"]).unwrap(), None);
    }

    #[test]
    fn the_newer_meta_page_counts_unless_it_is_half_written() {
        let mut pages = sample();
        pages[0] = meta_page(3, 9);
        pages[1][HEADER + 17] ^= 1;
        assert!(get(file(&pages).path(), &[b"in"]).unwrap().is_some());
        pages[0][HEADER + 17] ^= 1;
        assert!(get(file(&pages).path(), &[b"in"]).is_err());
    }

    #[test]
    fn a_state_that_is_overtaken_is_read_again() {
        let file = file(&sample());
        let tried = Cell::new(0);
        let result = read(file.path(), |snapshot| {
            tried.set(tried.get() + 1);
            if tried.get() == 1 {
                let write = OpenOptions::new().write(true).open(file.path()).unwrap();
                write.write_all_at(&meta_page(3, 9), 0).unwrap();
            }
            snapshot.bucket(&[b"in"])
        });
        assert!(result.unwrap().is_some());
        assert_eq!(tried.get(), 2);
    }

    #[test]
    fn damage_is_an_error_and_ends() {
        let good = file(&sample());
        let bytes = std::fs::read(good.path()).unwrap();
        let mut state = 1_u64;
        for _ in 0..500 {
            let mut bytes = bytes.clone();
            for _ in 0..4 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = SIZE * 2 + (state >> 33) as usize % (bytes.len() - SIZE * 2);
                bytes[at] = (state >> 20) as u8;
            }
            std::fs::write(good.path(), &bytes).unwrap();
            for bucket in [&b"in"[..], b"out"] {
                let _ = get(good.path(), &[bucket]);
            }
        }
        std::fs::write(good.path(), b"short").unwrap();
        assert!(get(good.path(), &[]).is_err());
        assert!(get(Path::new("/dev/null"), &[]).is_err());
        // A page that leads back to itself.
        let mut pages = sample();
        pages[4][HEADER + 8] = 4;
        assert!(get(file(&pages).path(), &[b"out"]).is_err());
    }
}
