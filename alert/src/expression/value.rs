//! Values while an expression is looked at: borrowed from the event or the expression wherever that is possible.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Map, Value as Json};

#[derive(Debug, Clone)]
pub enum Value<'v> {
    Null,
    Bool(bool),
    Int(i64),
    /// Only what does not fit an `Int`, and literals that say so.
    Uint(u64),
    Float(f64),
    Text(Cow<'v, str>),
    Elements(&'v [Json]),
    Made(Vec<Value<'v>>),
    Members(&'v Map<String, Json>),
}

impl<'v> Value<'v> {
    pub fn of(json: &'v Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(yes) => Self::Bool(*yes),
            Json::Number(n) => match (n.as_i64(), n.as_u64()) {
                (Some(n), _) => Self::Int(n),
                (None, Some(n)) => Self::Uint(n),
                (None, None) => Self::Float(n.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::Text(Cow::Borrowed(text)),
            Json::Array(all) => Self::Elements(all),
            Json::Object(all) => Self::Members(all),
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What a list has, or the keys of a map.
    pub fn elements(self) -> Option<Vec<Value<'v>>> {
        match self {
            Self::Elements(all) => Some(all.iter().map(Value::of).collect()),
            Self::Made(all) => Some(all),
            Self::Members(all) => {
                Some(all.keys().map(|key| Self::Text(Cow::Borrowed(key.as_str()))).collect())
            }
            _ => None,
        }
    }

    pub fn size(&self) -> Option<usize> {
        match self {
            Self::Text(text) => Some(text.chars().count()),
            Self::Elements(all) => Some(all.len()),
            Self::Made(all) => Some(all.len()),
            Self::Members(all) => Some(all.len()),
            _ => None,
        }
    }

    pub fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Members(a), Self::Members(b)) => a == b,
            (Self::Elements(_) | Self::Made(_), Self::Elements(_) | Self::Made(_)) => {
                let (a, b) = (self.clone().elements(), other.clone().elements());
                let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
                a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.equals(b))
            }
            _ => numbers(self, other) == Some(Ordering::Equal),
        }
    }

    /// Of two that can be compared.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            _ => numbers(self, other),
        }
    }
}

/// By what they are worth, of whatever kind.
fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    use Value::{Float, Int, Uint};
    match (a, b) {
        (Int(_) | Uint(_), Int(_) | Uint(_)) => Some(whole(a)?.cmp(&whole(b)?)),
        (Int(_) | Uint(_) | Float(_), Int(_) | Uint(_) | Float(_)) => float(a)?.partial_cmp(&float(b)?),
        _ => None,
    }
}

fn whole(of: &Value<'_>) -> Option<i128> {
    match of {
        Value::Int(n) => Some(i128::from(*n)),
        Value::Uint(n) => Some(i128::from(*n)),
        _ => None,
    }
}

pub fn float(of: &Value<'_>) -> Option<f64> {
    match of {
        Value::Float(n) => Some(*n),
        Value::Int(n) => Some(*n as f64),
        Value::Uint(n) => Some(*n as f64),
        _ => None,
    }
}
