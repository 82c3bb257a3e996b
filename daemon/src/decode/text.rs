//! Bytes that a container chose, made harmless: JSON strings without anything a terminal obeys.

/// Writes a JSON string. Valid UTF-8 is kept; control characters, DEL, C1 and the characters that reorder text
/// are written as `\uXXXX`; a byte that is not UTF-8 is shown as `\xHH` (a backslash in the string's value).
pub fn json_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        json_text(out, chunk.valid());
        for byte in chunk.invalid() {
            out.extend_from_slice(format!("\\\\x{byte:02x}").as_bytes());
        }
    }
    out.push(b'"');
}

fn json_text(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(is_special) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let c = rest[at..].chars().next().unwrap_or_default();
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\r' => out.extend_from_slice(b"\\r"),
            c => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
        }
        rest = &rest[at + c.len_utf8()..];
    }
    out.extend_from_slice(rest.as_bytes());
}

fn is_special(c: char) -> bool {
    matches!(c, '"' | '\\') || is_unsafe(c)
}

/// What a terminal or a reader could take for something else than text.
pub fn is_unsafe(c: char) -> bool {
    matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A JSON document that another library wrote: what that leaves as it is, and a terminal obeys, is escaped. Such
/// characters stand in strings only, but for line ends.
pub fn json_document(value: &impl serde::Serialize, pretty: bool) -> String {
    let text = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    let text = text.unwrap_or_else(|e| format!("{{\"error\":\"{}\"}}", e.to_string().replace('"', "'")));
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && is_unsafe(c) {
            out += &format!("\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// For a terminal: as in JSON, without quotes around it.
pub fn printable(text: &str) -> String {
    into_printable(text.to_owned())
}

/// The same of many, most of which are so already.
pub fn into_printable(text: String) -> String {
    if !text.contains(is_unsafe) {
        return text;
    }
    let escape = |c: char| match c {
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        c if is_unsafe(c) => format!("\\u{{{:x}}}", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        json_string(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_byte_survives_as_valid_json_without_control_characters() {
        let all: Vec<u8> = (0..=255).collect();
        let text = json(&all);
        let back: String = serde_json::from_str(&text).unwrap();
        assert!(!text.contains(is_unsafe), "{text}");
        assert!(back.starts_with("\0\x01"), "{back:?}");
        assert!(back.ends_with("\\xfe\\xff"), "{back:?}");
    }

    #[test]
    fn escapes_what_a_terminal_obeys() {
        assert_eq!(json(b"\x1b[31mred\n"), r#""\u001b[31mred\n""#);
        assert_eq!(json("\u{202e}gpj.exe".as_bytes()), r#""\u202egpj.exe""#);
        assert_eq!(json("grün \u{9b}".as_bytes()), "\"grün \\u009b\"");
        assert_eq!(printable("a\x1b]0;x\x07\nb"), "a\\u{1b}]0;x\\u{7}\\nb");
    }
}
