//! What one row of the store holds: events as their lines, one behind the other and packed together.

use std::ops::Range;

/// What a damaged row may unpack to at most.
const UNPACKED_MAX: usize = 16 << 20;
/// Speed over size: level 1 packs events to about an eighth.
const LEVEL: u8 = 1;
/// Cursor, time, subject, length of the line.
const HEAD: usize = 8 + 8 + 4 + 4;

/// Events not yet stored.
#[derive(Debug, Default)]
pub struct Builder {
    bytes: Vec<u8>,
    pub events: u64,
    /// Cursor of the last one.
    pub last: u64,
    /// Earliest and latest time.
    pub times: Option<(u64, u64)>,
}

impl Builder {
    /// Adds an event, whose line `write` appends.
    pub fn push(&mut self, cursor: u64, unix_ns: u64, subject: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let head = self.bytes.len();
        self.bytes.extend_from_slice(&cursor.to_le_bytes());
        self.bytes.extend_from_slice(&unix_ns.to_le_bytes());
        self.bytes.extend_from_slice(&subject.to_le_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        write(&mut self.bytes);
        let len = (self.bytes.len() - head - HEAD) as u32;
        self.bytes[head + HEAD - 4..head + HEAD].copy_from_slice(&len.to_le_bytes());
        self.events += 1;
        self.last = cursor;
        let (from, to) = self.times.unwrap_or((unix_ns, unix_ns));
        self.times = Some((from.min(unix_ns), to.max(unix_ns)));
    }

    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    pub fn pack(&self) -> Vec<u8> {
        miniz_oxide::deflate::compress_to_vec(&self.bytes, LEVEL)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub cursor: u64,
    pub unix_ns: u64,
    pub subject: u32,
    line: Range<usize>,
}

/// An unpacked row.
#[derive(Debug)]
pub struct Chunk {
    bytes: Vec<u8>,
    pub entries: Vec<Entry>,
}

impl Chunk {
    /// None if the row is damaged.
    pub fn unpack(packed: &[u8]) -> Option<Self> {
        let bytes = miniz_oxide::inflate::decompress_to_vec_with_limit(packed, UNPACKED_MAX).ok()?;
        let mut entries = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let head = bytes.get(at..at + HEAD)?;
            let long = |i: usize| u64::from_le_bytes(head[i..i + 8].try_into().expect("eight bytes"));
            let short = |i: usize| u32::from_le_bytes(head[i..i + 4].try_into().expect("four bytes"));
            let line = at + HEAD..(at + HEAD).checked_add(short(20) as usize)?;
            bytes.get(line.clone())?;
            at = line.end;
            entries.push(Entry { cursor: long(0), unix_ns: long(8), subject: short(16), line });
        }
        Some(Self { bytes, entries })
    }

    pub fn line(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.line.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Builder {
        let mut builder = Builder::default();
        builder.push(8, 100, 1, |out| out.extend_from_slice(b"{\"a\":1}"));
        builder.push(24, 90, 2, |_| {});
        builder
    }

    #[test]
    fn events_come_back_as_they_were() {
        let builder = two();
        assert_eq!((builder.events, builder.last, builder.times), (2, 24, Some((90, 100))));
        let chunk = Chunk::unpack(&builder.pack()).unwrap();
        let all: Vec<_> = chunk.entries.iter().map(|e| (e.cursor, e.unix_ns, e.subject)).collect();
        assert_eq!(all, [(8, 100, 1), (24, 90, 2)]);
        assert_eq!(
            (chunk.line(&chunk.entries[0]), chunk.line(&chunk.entries[1])),
            (&b"{\"a\":1}"[..], &b""[..])
        );
    }

    #[test]
    fn a_damaged_row_is_no_chunk() {
        let packed = two().pack();
        assert!(Chunk::unpack(&packed[..packed.len() - 4]).is_none());
        let mut raw = two();
        raw.bytes.truncate(raw.bytes.len() - 1);
        assert!(Chunk::unpack(&raw.pack()).is_none(), "cut in a head");
        raw.bytes[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Chunk::unpack(&raw.pack()).is_none(), "a line longer than there is");
    }

    #[test]
    fn what_would_unpack_to_everything_is_refused() {
        let bomb = miniz_oxide::deflate::compress_to_vec(&vec![0; UNPACKED_MAX + 1], 9);
        assert!(Chunk::unpack(&bomb).is_none());
    }
}
