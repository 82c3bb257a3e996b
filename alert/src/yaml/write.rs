//! JSON's values as YAML in block style, that `read` gives back as they were.

use serde_json::Value;

/// Ends with a line's end.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(all) if !all.is_empty() => members(&mut out, value, 0),
        Value::Array(all) if !all.is_empty() => elements(&mut out, value, 0),
        _ => {
            scalar(&mut out, value);
            out.push('\n');
        }
    }
    out
}

fn members(out: &mut String, value: &Value, indent: usize) {
    for (i, (key, member)) in value.as_object().into_iter().flatten().enumerate() {
        // The first goes on where a list's dash stands.
        if i > 0 || out.is_empty() || out.ends_with('\n') {
            margin(out, indent);
        }
        text(out, key);
        out.push(':');
        below(out, member, indent);
    }
}

fn below(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(all) if !all.is_empty() => {
            out.push('\n');
            members(out, value, indent + 2);
        }
        Value::Array(all) if !all.is_empty() => {
            out.push('\n');
            elements(out, value, indent + 2);
        }
        _ => {
            out.push(' ');
            scalar(out, value);
            out.push('\n');
        }
    }
}

fn elements(out: &mut String, value: &Value, indent: usize) {
    for element in value.as_array().into_iter().flatten() {
        margin(out, indent);
        out.push('-');
        match element {
            Value::Object(all) if !all.is_empty() => {
                out.push(' ');
                members(out, element, indent + 2);
            }
            _ => below(out, element, indent),
        }
    }
}

fn margin(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn scalar(out: &mut String, value: &Value) {
    match value {
        Value::String(one) => text(out, one),
        Value::Object(_) => out.push_str("{}"),
        other => out.push_str(&other.to_string()),
    }
}

/// Bare where nobody can take it for something else, in double quotes elsewhere: YAML reads JSON's.
fn text(out: &mut String, text: &str) {
    if bare(text) {
        out.push_str(text);
        return;
    }
    // What JSON leaves as it is and YAML does not take, or takes for a line's end.
    for c in Value::from(text).to_string().chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => out.push(c),
        }
    }
}

fn bare(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_');
    let later = |c: char| c.is_ascii_alphanumeric() || " /_.-+@=,~*()$^;%".contains(c);
    text.starts_with(first)
        && text.chars().all(later)
        && !text.ends_with(' ')
        && super::plain(text).is_string()
        && !["yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str())
}
