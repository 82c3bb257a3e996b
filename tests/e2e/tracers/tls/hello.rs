//! ClientHellos: made, damaged, and read by another parser than the tracer's.

/// A hello to be made. What it has in bytes is for `bytes()` to say.
#[derive(Debug, Clone, Default)]
pub struct Hello {
    pub name: &'static [u8],
    pub alpn: &'static [&'static [u8]],
    /// Of the extension; without any the oldest way of saying it is left.
    pub versions: &'static [u16],
    pub legacy: u16,
    pub ciphers: u16,
    pub session: usize,
    /// Bytes of an extension that nobody reads, in front of all others.
    pub ballast: usize,
    pub grease: bool,
    pub encrypted: bool,
    /// Bytes of the message in the first record; 0: all.
    pub first_record: usize,
}

const GREASE: u16 = 0x3a3a;

impl Hello {
    /// What browsers send, in size: a key of X25519MLKEM768 takes 1,216 bytes.
    pub fn usual() -> Self {
        Self {
            name: b"www.example.org",
            alpn: &[b"h2", b"http/1.1"],
            versions: &[GREASE, 0x304, 0x303],
            legacy: 0x303,
            ciphers: 16,
            session: 32,
            ballast: 40,
            grease: true,
            ..Self::default()
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut body = self.legacy.to_be_bytes().to_vec();
        body.extend((0..32).map(|i| i * 7));
        body.push(self.session as u8);
        body.extend(vec![0x5e; self.session]);
        body.extend((self.ciphers * 2).to_be_bytes());
        (0..self.ciphers).for_each(|i| body.extend((0x1301 + i).to_be_bytes()));
        body.extend([1, 0]);
        let extensions = self.extensions();
        if !extensions.is_empty() {
            body.extend(with_length(&extensions));
        }
        let mut message = vec![1, 0];
        message.extend(with_length(&body));
        let first = if self.first_record == 0 { message.len() } else { self.first_record };
        let (first, rest) = message.split_at(first);
        let mut out = vec![22, 3, 1];
        out.extend(with_length(first));
        if !rest.is_empty() {
            out.extend([22, 3, 1]);
            out.extend(with_length(rest));
        }
        out
    }

    fn extensions(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut add = |ty: u16, data: &[u8]| {
            out.extend(ty.to_be_bytes());
            out.extend(with_length(data));
        };
        if self.grease {
            add(GREASE, &[]);
        }
        if self.ballast > 0 {
            add(51, &vec![0xb5; self.ballast]);
        }
        if !self.versions.is_empty() {
            let list: Vec<u8> = self.versions.iter().flat_map(|v| v.to_be_bytes()).collect();
            add(43, &[&[list.len() as u8], &list[..]].concat());
        }
        if !self.alpn.is_empty() {
            let list: Vec<u8> = self.alpn.iter().flat_map(|n| [&[n.len() as u8], *n].concat()).collect();
            add(16, &with_length(&list));
        }
        if self.encrypted {
            add(0xfe0d, &[0; 40]);
        }
        if !self.name.is_empty() {
            add(0, &with_length(&[&[0], &with_length(self.name)[..]].concat()));
        }
        if self.grease {
            add(0xaaaa, &[0]);
        }
        out
    }
}

fn with_length(data: &[u8]) -> Vec<u8> {
    [&(data.len() as u16).to_be_bytes(), data].concat()
}

/// What there is to be told of a hello.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Told {
    pub name: Vec<u8>,
    pub alpn: Vec<Vec<u8>>,
    pub version: u16,
    pub ciphers: u16,
    pub extensions: u16,
    pub encrypted: bool,
    pub truncated: bool,
}

/// Of bytes that a connection began with.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    None,
    Malformed,
    Hello(Told),
}

/// Walks over bytes. `Err(true)`: it says it is longer than what holds it; `Err(false)`: the rest is missing.
struct Walk<'a> {
    have: &'a [u8],
    /// Where the bytes should end.
    end: usize,
    at: usize,
}

impl<'a> Walk<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], bool> {
        let to = self.at + len;
        let taken = self.have.get(self.at..to).ok_or(to > self.end)?;
        self.at = to;
        Ok(taken)
    }

    fn number(&mut self, len: usize) -> Result<usize, bool> {
        self.take(len).map(number)
    }

    /// Over what nobody reads: it is found missing where something behind it is read.
    fn skip(&mut self, len: usize) -> Result<(), bool> {
        self.at += len;
        if self.at > self.end { Err(true) } else { Ok(()) }
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b))
}

/// All of one thing: nothing may be missing, nothing left.
fn whole<T>(data: &[u8], read: impl FnOnce(&mut Walk<'_>) -> Result<T, bool>) -> Option<T> {
    let mut walk = Walk { have: data, end: data.len(), at: 0 };
    read(&mut walk).ok().filter(|_| walk.at == data.len())
}

pub fn read(bytes: &[u8]) -> Reading {
    if bytes.len() < 11 || bytes[0] != 22 || bytes[1] != 3 || bytes[2] > 4 || bytes[5] != 1 || bytes[6] != 0 {
        return Reading::None;
    }
    let be = |i: usize| number(&bytes[i..i + 2]);
    let (record, end) = (5 + be(3), 9 + be(7));
    if !(10..=5 + 16_384).contains(&record) || bytes[9] != 3 || bytes[10] > 4 || end <= 43 {
        return Reading::None;
    }
    let mut told = Told { version: be(9) as u16, ..Told::default() };
    let have = &bytes[..bytes.len().min(record).min(end)];
    match message(&mut Walk { have, end, at: 43 }, &mut told) {
        Err(true) => return Reading::Malformed,
        Err(false) => told.truncated = true,
        Ok(()) => {}
    }
    Reading::Hello(told)
}

fn message(walk: &mut Walk<'_>, told: &mut Told) -> Result<(), bool> {
    let session = walk.number(1)?;
    if session > 32 {
        return Err(true);
    }
    walk.skip(session)?;
    let ciphers = walk.number(2)?;
    if ciphers == 0 || ciphers % 2 == 1 {
        return Err(true);
    }
    told.ciphers = ciphers as u16 / 2;
    walk.skip(ciphers)?;
    let compressions = walk.number(1)?;
    if compressions == 0 {
        return Err(true);
    }
    walk.skip(compressions)?;
    if walk.at == walk.end {
        return Ok(());
    }
    let extensions = walk.number(2)?;
    if walk.at + extensions != walk.end {
        return Err(true);
    }
    let mut seen = Vec::new();
    while walk.at < walk.end {
        extension(walk, told, &mut seen)?;
    }
    Ok(())
}

fn extension(walk: &mut Walk<'_>, told: &mut Told, seen: &mut Vec<usize>) -> Result<(), bool> {
    let head = walk.take(4)?;
    let ty = number(&head[..2]);
    let data = walk.take(number(&head[2..]))?;
    told.extensions += u16::from(ty & 0xf0f != 0xa0a);
    let fine = match ty {
        0 => whole(data, |w| {
            let list = w.number(2)?;
            let ty = w.number(1)?;
            let name = w.number(2)?;
            told.name = w.take(name)?.to_vec();
            if ty == 0 && name > 0 && list == name + 3 { Ok(()) } else { Err(true) }
        }),
        16 => whole(data, |w| {
            let list = w.number(2)?;
            while w.at < data.len() {
                let len = w.number(1)?;
                told.alpn.push(w.take(len)?.to_vec());
            }
            let sound = told.alpn.iter().all(|n| !n.is_empty() && !n.contains(&0));
            if list > 0 && list + 2 == data.len() && sound { Ok(()) } else { Err(true) }
        }),
        43 => whole(data, |w| {
            let list = w.number(1)?;
            let mut best = 0;
            while w.at < data.len() {
                let version = w.number(2)?;
                best = best.max(if (0x300..=0x304).contains(&version) { version } else { 0 });
            }
            told.version = best as u16;
            if list > 0 && list + 1 == data.len() { Ok(()) } else { Err(true) }
        }),
        _ => Some(()),
    };
    told.encrypted |= ty == 0xfe0d;
    let twice = matches!(ty, 0 | 16 | 43) && seen.contains(&ty);
    seen.push(ty);
    fine.filter(|()| !twice).ok_or(true)
}
