//! What functions and calculations make of values.

use std::borrow::Cow;

use memchr::memmem::Finder;

use super::node::{Function, Operator, Position};
use super::value::{Value, float};

pub fn call(function: Function, of: Value<'_>) -> Option<Value<'_>> {
    match function {
        Function::Size => of.size().and_then(|n| i64::try_from(n).ok()).map(Value::Int),
        Function::Basename => part(of, |path| path.rfind('/').map_or(0, |at| at + 1)..path.len()),
        Function::Dirname => part(of, |path| 0..path.rfind('/').map_or(0, |at| at.max(1))),
        Function::Clean => match of {
            Value::Text(path) if !is_clean(&path) => Some(owned(cleaned(&path))),
            Value::Text(_) => Some(of),
            _ => None,
        },
        Function::Lower => match of {
            Value::Text(text) if text.chars().any(char::is_uppercase) => Some(owned(text.to_lowercase())),
            Value::Text(_) => Some(of),
            _ => None,
        },
        Function::Int => match &of {
            Value::Int(_) => Some(of),
            Value::Uint(n) => i64::try_from(*n).ok().map(Value::Int),
            Value::Float(n) => (n.abs() < 9.2e18).then_some(Value::Int(*n as i64)),
            Value::Text(text) => text.parse().ok().map(Value::Int),
            _ => None,
        },
        Function::Uint => match &of {
            Value::Uint(_) => Some(of),
            Value::Int(n) => u64::try_from(*n).ok().map(Value::Uint),
            Value::Float(n) => (0.0..1.8e19).contains(n).then_some(Value::Uint(*n as u64)),
            Value::Text(text) => text.parse().ok().map(Value::Uint),
            _ => None,
        },
        Function::Double => match &of {
            Value::Text(text) => text.parse().ok().map(Value::Float),
            number => float(number).map(Value::Float),
        },
        Function::Text => match &of {
            Value::Text(_) => Some(of),
            Value::Bool(yes) => Some(owned(yes.to_string())),
            Value::Int(n) => Some(owned(n.to_string())),
            Value::Uint(n) => Some(owned(n.to_string())),
            Value::Float(n) => Some(owned(n.to_string())),
            _ => None,
        },
    }
}

fn owned<'e>(text: String) -> Value<'e> {
    Value::Text(Cow::Owned(text))
}

fn part(of: Value<'_>, range: impl Fn(&str) -> std::ops::Range<usize>) -> Option<Value<'_>> {
    match of {
        Value::Text(Cow::Borrowed(text)) => Some(Value::Text(Cow::Borrowed(&text[range(text)]))),
        Value::Text(Cow::Owned(text)) => Some(owned(text[range(&text)].to_owned())),
        _ => None,
    }
}

fn is_clean(path: &str) -> bool {
    let below = path.strip_prefix('/').unwrap_or(path);
    path.len() < 2 || below.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// The shortest name that leads to the same place if no folder on the way is a link.
fn cleaned(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match (part, parts.last()) {
            ("" | ".", _) => {}
            ("..", None) if absolute => {}
            ("..", Some(&above)) if above != ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    match (absolute, parts.join("/")) {
        (true, below) => format!("/{below}"),
        (false, here) if here.is_empty() => ".".to_owned(),
        (false, below) => below,
    }
}

/// Any of these; of a list, being one of its elements.
pub fn contains(of: &Value<'_>, finders: &[Finder<'static>]) -> Option<bool> {
    let any_is = |text: &str| finders.iter().any(|finder| finder.needle() == text.as_bytes());
    match of {
        Value::Text(text) => Some(finders.iter().any(|finder| finder.find(text.as_bytes()).is_some())),
        Value::Elements(all) => Some(all.iter().any(|one| one.as_str().is_some_and(any_is))),
        Value::Made(all) => Some(all.iter().any(|one| one.text().is_some_and(any_is))),
        _ => None,
    }
}

/// Of a list, `Anywhere` is being one of its elements.
pub fn within(position: Position, of: &Value<'_>, what: &str) -> Option<bool> {
    match (position, of) {
        (Position::Anywhere, Value::Text(text)) => Some(text.contains(what)),
        (Position::Start, Value::Text(text)) => Some(text.starts_with(what)),
        (Position::End, Value::Text(text)) => Some(text.ends_with(what)),
        (Position::Anywhere, Value::Elements(all)) => Some(all.iter().any(|one| one == what)),
        (Position::Anywhere, Value::Made(all)) => Some(all.iter().any(|one| one.text() == Some(what))),
        _ => None,
    }
}

/// Two of the same kind; nothing where the result does not fit.
pub fn calculate<'e>(operator: Operator, a: Value<'e>, b: Value<'e>) -> Option<Value<'e>> {
    use Operator::{Add, Divide, Multiply, Remainder, Subtract};
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => match operator {
            Add => a.checked_add(b),
            Subtract => a.checked_sub(b),
            Multiply => a.checked_mul(b),
            Divide => a.checked_div(b),
            Remainder => a.checked_rem(b),
        }
        .map(Value::Int),
        (Value::Uint(a), Value::Uint(b)) => match operator {
            Add => a.checked_add(b),
            Subtract => a.checked_sub(b),
            Multiply => a.checked_mul(b),
            Divide => a.checked_div(b),
            Remainder => a.checked_rem(b),
        }
        .map(Value::Uint),
        (Value::Float(a), Value::Float(b)) => match operator {
            Add => Some(a + b),
            Subtract => Some(a - b),
            Multiply => Some(a * b),
            Divide => Some(a / b),
            Remainder => None,
        }
        .map(Value::Float),
        (Value::Text(a), Value::Text(b)) if operator == Add => Some(owned(format!("{a}{b}"))),
        (a, b) if operator == Add => {
            let mut all = list(a)?;
            all.extend(list(b)?);
            Some(Value::Made(all))
        }
        _ => None,
    }
}

fn list(of: Value<'_>) -> Option<Vec<Value<'_>>> {
    match of {
        Value::Members(_) => None,
        list => list.elements(),
    }
}
