//! Patterns over paths: `*` is anything but a slash, `**` anything, `?` one character, `[a-c]` one of these, `[!a]` none.

/// What stands between a pattern's fixed beginning and end; one bit for each in the matcher's state.
const PARTS_MAX: usize = 120;

#[derive(Debug, Clone, PartialEq)]
pub struct Glob {
    prefix: Box<str>,
    middle: Vec<Part>,
    suffix: Box<str>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Char(char),
    /// One character that is no slash.
    One,
    /// Ranges, and whether they are what is meant or what is not.
    Of(Vec<(char, char)>, bool),
    Star,
    Any,
}

impl Glob {
    pub fn new(pattern: &str) -> Result<Self, String> {
        let mut parts = parts(pattern)?;
        let fixed = |part: &Part| matches!(part, Part::Char(_));
        let prefix = text(parts.iter().take_while(|p| fixed(p)));
        parts.drain(..prefix.chars().count());
        let end = parts.iter().rposition(|p| !fixed(p)).map_or(0, |at| at + 1);
        let suffix = text(parts.drain(end..).as_slice().iter());
        if parts.len() > PARTS_MAX {
            return Err(format!("the pattern {pattern:?} has more than {PARTS_MAX} parts"));
        }
        Ok(Self { prefix: prefix.into(), middle: parts, suffix: suffix.into() })
    }

    pub fn matches(&self, text: &str) -> bool {
        let Some(rest) = text.strip_prefix(&*self.prefix) else { return false };
        let Some(rest) = rest.strip_suffix(&*self.suffix) else { return false };
        match self.middle.as_slice() {
            [] => rest.is_empty(),
            [Part::Any] => true,
            [Part::Star] => !rest.contains('/'),
            middle => walk(middle, rest),
        }
    }
}

/// All places of the pattern that the text may have come to, at once: time is linear whatever both are.
fn walk(parts: &[Part], text: &str) -> bool {
    let mut at = skip(parts, 1);
    for c in text.chars() {
        let mut next = 0_u128;
        let mut left = at;
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            left &= left - 1;
            next |= match parts.get(place) {
                Some(Part::Any) => 1 << place,
                Some(Part::Star) if c != '/' => 1 << place,
                Some(part) if part.takes(c) => 2 << place,
                _ => 0,
            };
        }
        at = skip(parts, next);
        if at == 0 {
            return false;
        }
    }
    at & (1 << parts.len()) != 0
}

/// Stars may be nothing.
fn skip(parts: &[Part], mut at: u128) -> u128 {
    for (place, part) in parts.iter().enumerate() {
        if at & (1 << place) != 0 && matches!(part, Part::Star | Part::Any) {
            at |= 2 << place;
        }
    }
    at
}

impl Part {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Char(this) => *this == c,
            Self::One => c != '/',
            Self::Of(ranges, yes) => {
                c != '/' && ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) == *yes
            }
            Self::Star | Self::Any => false,
        }
    }
}

fn text<'p>(parts: impl Iterator<Item = &'p Part>) -> String {
    parts.filter_map(|part| if let Part::Char(c) = part { Some(*c) } else { None }).collect()
}

fn parts(pattern: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let part = match c {
            '*' if chars.next_if_eq(&'*').is_some() => Part::Any,
            '*' => Part::Star,
            '?' => Part::One,
            '[' => {
                let inner: Vec<char> = chars.by_ref().take_while(|c| *c != ']').collect();
                of(&inner).ok_or_else(|| format!("the pattern {pattern:?} has a bracket without content"))?
            }
            '\\' => Part::Char(chars.next().ok_or_else(|| format!("the pattern {pattern:?} ends in \\"))?),
            c => Part::Char(c),
        };
        let twice = matches!(part, Part::Star | Part::Any) && parts.last() == Some(&part);
        if !twice {
            parts.push(part);
        }
    }
    Ok(parts)
}

fn of(inner: &[char]) -> Option<Part> {
    let (yes, mut rest) = match inner {
        ['!' | '^', rest @ ..] => (false, rest),
        rest => (true, rest),
    };
    let mut ranges = Vec::new();
    while let [first, tail @ ..] = rest {
        let (range, after) = match tail {
            ['-', last, after @ ..] => ((*first, *last), after),
            _ => ((*first, *first), tail),
        };
        ranges.push(range);
        rest = after;
    }
    (!ranges.is_empty()).then_some(Part::Of(ranges, yes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_what_a_shell_makes_of_them() {
        for (pattern, text, want) in [
            ("/etc/**", "/etc/ssl/x", true),
            ("/etc/**", "/etc", false),
            ("/etc/*", "/etc/ssl/x", false),
            ("/etc/*", "/etc/passwd", true),
            ("/root/.ssh/id_*", "/root/.ssh/id_rsa", true),
            ("**/.ssh/id_*", "/home/a/.ssh/id_rsa/x", false),
            ("**/.ssh/id_*", "/home/a/.ssh/id_rsa", true),
            ("/proc/*/mem", "/proc/1/mem", true),
            ("/proc/*/mem", "/proc/1/2/mem", false),
            ("/proc/[0-9]*/mem", "/proc/self/mem", false),
            ("/proc/[!0-9]*/mem", "/proc/self/mem", true),
            ("/tmp/?", "/tmp/a", true),
            ("/tmp/?", "/tmp//", false),
            ("ab*ab", "ab", false),
            ("ab*ab", "abab", true),
            ("a*/b*c", "a/b/bc", false),
            ("a**b*c", "a/b/bc", true),
            ("", "", true),
            ("", "x", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("é*ü", "éaü", true),
            ("x", "x", true),
            ("[a]", "a", true),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(text), want, "{pattern} {text}");
        }
        for bad in ["[", "[]", "[!]", "a\\", &"?".repeat(500)] {
            Glob::new(bad).unwrap_err();
        }
    }

    #[test]
    fn hostile_texts_take_no_longer_than_others() {
        let glob = Glob::new("**a*a**a*a*a**a*a*b*").unwrap();
        assert!(!glob.matches(&"a".repeat(1 << 16)));
    }
}
