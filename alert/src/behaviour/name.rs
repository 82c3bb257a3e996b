//! Names that nobody chose: numbers, hashes, UUIDs, what mktemp makes. Each such part of a name becomes `#`; what the name
//! itself has of the signs used here is behind a backslash.

/// What a made-up part becomes.
pub const MADE_UP: char = '#';
/// What stands for any name, after a folder was found to have too many to tell apart.
pub const ANY: &str = "*";
const NAME_MAX: usize = 96;

pub fn general(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    push(&mut out, name);
    out
}

/// Adds a name with its made-up parts replaced.
pub fn push(out: &mut String, name: &str) {
    if is_plain(name) {
        out.push_str(name);
        return;
    }
    let cut = (0..=NAME_MAX.min(name.len())).rev().find(|&at| name.is_char_boundary(at)).unwrap_or(0);
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()) {
        out.push(MADE_UP);
        return;
    }
    let stem = name.find('.').unwrap_or(name.len());
    if is_of_python(&name[..stem]) {
        out.push_str("tmp#");
        push(out, &name[stem..]);
        return;
    }
    Parts { out, made_up: None, word: "", signs: 0 }.all(&name[..cut]);
    if cut < name.len() && !out.ends_with(MADE_UP) {
        out.push(MADE_UP);
    }
}

/// Adds a name in a folder for temporary files, where compilers and mktemp make more of them up.
pub fn push_temporary(out: &mut String, name: &str) {
    let chosen = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase());
    let drawn = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
    // mktemp's, which at times are small letters alone.
    let of_mktemp = |text: &str| matches!(text.len(), 6 | 10);
    let stem = name.find('.').unwrap_or(name.len());
    if stem == 8 && name.starts_with("cc") && drawn(&name[2..stem]) {
        out.push_str("cc#");
        return push(out, &name[stem..]);
    }
    match name.rfind(['.', '-', '_']).map(|at| name.split_at(at + 1)) {
        Some((first, last))
            if (5..=12).contains(&last.len()) && drawn(last) && (!chosen(last) || of_mktemp(last)) =>
        {
            push(out, first);
            out.push(MADE_UP);
        }
        _ => push(out, name),
    }
}

/// As most names are: nothing in it can be made up.
fn is_plain(name: &str) -> bool {
    name.len() < 16
        && !name.starts_with("tmp")
        && name.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'.' | b'-' | b'_'))
}

struct Parts<'o, 'n> {
    out: &'o mut String,
    /// Where the last made-up part ended, if nothing but signs came since.
    made_up: Option<usize>,
    /// The word before.
    word: &'n str,
    /// Signs since.
    signs: usize,
}

impl<'n> Parts<'_, 'n> {
    fn all(mut self, mut rest: &'n str) {
        while let Some(c) = rest.chars().next() {
            rest = if is_uuid(rest) {
                self.made_up();
                &rest[36..]
            } else if is_sign(c) {
                self.sign(c);
                &rest[c.len_utf8()..]
            } else {
                let end = rest.find(is_sign).unwrap_or(rest.len());
                self.word(&rest[..end]);
                &rest[end..]
            };
        }
    }

    fn sign(&mut self, c: char) {
        if matches!(c, '*' | MADE_UP | '\\') {
            self.out.push('\\');
        }
        self.out.push(c);
        self.signs += 1;
        if self.signs > 1 {
            self.made_up = None;
        }
    }

    fn word(&mut self, word: &'n str) {
        let follows = self.made_up.is_some() && word.len() <= 12 && word.bytes().any(|b| b.is_ascii_digit());
        let temporary = self.word == "tmp" && self.signs == 1 && word.len() >= 6;
        let suffix = self.signs == 1 && !self.word.is_empty() && word.len() >= 5 && is_jumbled(word);
        if follows || temporary || suffix || is_made_up(word) {
            self.made_up();
        } else {
            self.out.push_str(word);
            self.made_up = None;
        }
        self.word = word;
        self.signs = 0;
    }

    /// Made-up parts that one sign is between are one.
    fn made_up(&mut self) {
        match self.made_up {
            Some(end) => self.out.truncate(end),
            None => self.out.push(MADE_UP),
        }
        self.made_up = Some(self.out.len());
        self.signs = 0;
    }
}

fn is_sign(c: char) -> bool {
    c.is_ascii() && !c.is_ascii_alphanumeric()
}

/// What Python's tempfile makes.
fn is_of_python(name: &str) -> bool {
    let chosen = |b: u8| !(b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    name.len() == 11 && name.starts_with("tmp") && !name.bytes().any(chosen)
}

fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    let right = |(at, b): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *b == b'-',
        _ => b.is_ascii_hexdigit(),
    };
    bytes.len() >= 36 && bytes[..36].iter().enumerate().all(right)
}

fn is_made_up(word: &str) -> bool {
    let count = |is: fn(&u8) -> bool| word.bytes().filter(&is).count();
    let digits = count(u8::is_ascii_digit);
    if digits == word.len() {
        return digits >= 3;
    }
    if count(u8::is_ascii_hexdigit) == word.len() && (digits > 0 && word.len() >= 8 || word.len() >= 16) {
        return true;
    }
    word.is_ascii() && word.len() >= 6 && is_random(word.as_bytes())
}

/// Small and capital letters as nobody writes words: the last is a capital, or several are before a small one.
fn is_jumbled(word: &str) -> bool {
    let (bytes, small, large) = (word.as_bytes(), u8::is_ascii_lowercase, u8::is_ascii_uppercase);
    let ends = bytes.last().is_some_and(large);
    let runs = bytes.windows(2).skip(1).any(|two| large(&two[0]) && large(&two[1]));
    bytes.iter().any(small) && bytes.iter().all(u8::is_ascii_alphabetic) && (ends || runs)
}

/// Digits and letters change places, or small and capital ones do more often than in words written together.
fn is_random(word: &[u8]) -> bool {
    let changes = |of: fn(u8, u8) -> bool| word.windows(2).filter(|two| of(two[0], two[1])).count();
    let mixed = changes(|a, b| a.is_ascii_digit() != b.is_ascii_digit());
    let humps = changes(|a, b| a.is_ascii_lowercase() && b.is_ascii_uppercase());
    mixed >= 3 || humps >= 2 && word.len() < 3 * (humps + 1)
}

#[cfg(test)]
mod tests {
    use super::general;

    #[test]
    fn made_up_parts_are_one_sign() {
        for (name, want) in [
            ("1234", "#"),
            ("7", "#"),
            ("550e8400-e29b-41d4-a716-446655440000", "#"),
            ("a-550e8400-e29b-41d4-a716-446655440000.json", "a-#.json"),
            ("d41d8cd98f00b204e9800998ecf8427e", "#"),
            ("sess_d41d8cd98f00", "sess_#"),
            ("tmp.Xk2pQ9zLma", "tmp.#"),
            ("tmp.abcdefghij", "tmp.#"),
            ("tmpk3j_x9ab", "tmp#"),
            ("tmpab12cd9x", "tmp#"),
            ("tmpgaluemw4.json", "tmp#.json"),
            ("build.SDotRZ", "build.#"),
            ("x-abCDe", "x-#"),
            ("abc.cpython-311.pyc.139648230012", "abc.cpython-#.pyc.#"),
            ("web-7d9f8b6c5d-x2x4z", "web-#"),
            ("app-20260131.log", "app-#.log"),
            ("2026-01-31T12-00", "#"),
            ("pool-1-thread-123", "pool-1-thread-#"),
            ("systemd-private-0a1b2c3d4e5f-foo", "systemd-private-#-foo"),
        ] {
            assert_eq!(general(name), want, "{name}");
        }
    }

    #[test]
    fn chosen_names_stay() {
        for name in [
            "passwd",
            "libssl.so.3",
            "x86_64-linux-gnu",
            "python3.11",
            "py3compile",
            "libQt5Core.so",
            "nginx",
            "MyClassName.class",
            "UTF8",
            "ISO8859-1",
            "README.md",
            "docker-entrypoint.d",
            "é.txt",
            ".git",
            "",
            "ib_io_rd-1",
            "00-default.conf",
            "base64",
            "org.freedesktop.NetworkManager.conf",
            "libGL-MESA.so",
            "tmpfiles.d",
            "facade",
            "libgcc_s.so.1",
        ] {
            assert_eq!(general(name), name);
        }
    }

    #[test]
    fn signs_of_ours_in_names_are_marked() {
        assert_eq!(general("*"), "\\*");
        assert_eq!(general("a#b\\"), "a\\#b\\\\");
        let long = general(&"é".repeat(200));
        assert!(long.len() < 100 && long.ends_with('#'), "{long}");
    }
}
