//! Ids, paths and annotations are whatever a container's author wrote: nothing of it reaches a log or a
//! terminal unescaped or unbounded.

/// One printable line of at most about `max` bytes.
pub fn printable(text: &str, max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(max) + 16);
    for c in text.chars() {
        if line.len() >= max {
            line.push_str("...");
            break;
        }
        match c {
            // Quotes break no line; all else that Rust would escape in a literal is escaped.
            '"' | '\'' => line.push(c),
            _ => line.extend(c.escape_debug()),
        }
    }
    line
}

/// The beginning of `text`, for a part of a message that must leave room for the rest; escaping comes later.
pub fn cut(text: &str, max: usize) -> &str {
    text.char_indices().nth(max).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_cursor_or_starts_a_line_is_escaped() {
        assert_eq!(printable("a\nb\x1b[31m\r\0\u{85}\u{2028}\u{202e}\\", 200), {
            r"a\nb\u{1b}[31m\r\0\u{85}\u{2028}\u{202e}\\"
        });
        assert_eq!(printable("it's \"fine\", größer", 200), "it's \"fine\", größer");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(printable("abcdef", 3), "abc...");
        assert_eq!(printable("abc", 3), "abc");
        assert_eq!((cut("größer", 3), cut("ab", 3)), ("grö", "ab"));
        assert!(printable(&"\u{1b}".repeat(1 << 20), 100).len() < 120);
    }
}
