//! What a container chose (names, paths, arguments), made fit for a line that a person reads: one line, no control
//! characters, nothing that turns the direction of what follows, and not longer than it may be.

/// Invisible, or changing how others are shown.
fn hides(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// At most so many characters; `…` stands for what was cut.
pub fn line(text: &str, most: usize) -> String {
    if text.len() <= most && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let (mut shown, mut size) = (String::with_capacity(text.len().min(most)), 0);
    // Where it is to be cut, should it be too long.
    let mut cut = 0;
    for c in text.chars() {
        if c.is_control() || hides(c) {
            shown.extend(c.escape_default());
            size += c.escape_default().count();
        } else {
            shown.push(c);
            size += 1;
        }
        if size > most {
            shown.truncate(cut);
            shown.push('…');
            break;
        }
        if size < most {
            cut = shown.len();
        }
    }
    shown
}

/// At most so many bytes of it, whole characters.
pub fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// In quotes where it could be taken for more than one word.
pub fn word(text: &str, most: usize) -> String {
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '`' | ',' | ';');
    match !text.is_empty() && text.chars().all(plain) {
        true => line(text, most),
        false => format!("\"{}\"", line(&text.replace('"', "\\\""), most)),
    }
}

/// A command as it would be typed.
pub fn command<T: AsRef<str>>(args: &[T], most: usize) -> String {
    let mut all = String::new();
    for arg in args {
        if !all.is_empty() {
            all.push(' ');
        }
        all.push_str(&word(arg.as_ref(), most));
        if all.len() > most * 4 {
            break;
        }
    }
    line(&all, most)
}

pub fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_container_chose_makes_a_second_line_or_turns_the_first() {
        assert_eq!(line("a\nb\u{1b}[2J\u{202e}c\0", 80), "a\\nb\\u{1b}[2J\\u{202e}c\\u{0}");
        assert_eq!(line("grün 🦈", 80), "grün 🦈");
    }

    #[test]
    fn what_is_too_long_is_cut_and_shows_it() {
        assert_eq!(line("abcdef", 6), "abcdef");
        assert_eq!(line("abcdefg", 6), "abcde…");
        assert_eq!(line("abcd\u{1b}", 6), "abcd…");
        assert_eq!((cut("aü", 2), cut("aü", 3), cut("", 9)), ("a", "aü", ""));
        assert_eq!(line(&"x".repeat(1 << 20), 100).chars().count(), 100);
    }

    #[test]
    fn a_name_of_several_words_is_one_in_quotes() {
        assert_eq!(word("/tmp/x and all is well", 80), "\"/tmp/x and all is well\"");
        assert_eq!(word("/tmp/a\"b", 80), "\"/tmp/a\\\"b\"");
        assert_eq!(word("", 80), "\"\"");
        assert_eq!(command(&["sh", "-c", "id; ls"], 80), "sh -c \"id; ls\"");
    }
}
