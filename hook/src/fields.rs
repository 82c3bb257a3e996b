//! A JSON object of somebody else's making, read field by field: one field of an unexpected type
//! must not cost us the others, and what is not asked for is never built.

use crate::bundle::Annotations;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

#[derive(Debug)]
pub struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    pub fn parse(json: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json).map(Self)
    }

    /// The field, or nothing where it is absent, null or of another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.0.get(name)?.get()).ok()
    }

    /// The object within a field.
    pub fn object(&self, name: &str) -> Option<Fields<'a>> {
        Self::parse(self.0.get(name)?.get()).ok()
    }

    /// A map of strings. Numbers and booleans, which careless writers leave unquoted, count as their text.
    pub fn strings(&self, name: &str) -> Option<Annotations> {
        let mut strings = Annotations::new();
        for (key, value) in self.object(name)?.0 {
            if let Some(text) = scalar(value.get()) {
                strings.insert(key, text);
            }
        }
        Some(strings)
    }
}

fn scalar(json: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok(),
        b'{' | b'[' | b'n' => None,
        _ => Some(json.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_the_wrong_type_costs_only_itself() {
        let fields = Fields::parse(r#"{"id":7,"pid":42,"bundle":null,"root":{"path":"r"}}"#).unwrap();
        assert_eq!(fields.get::<String>("id"), None);
        assert_eq!(fields.get::<String>("bundle"), None);
        assert_eq!(fields.get::<u32>("pid"), Some(42));
        assert_eq!(fields.object("root").unwrap().get::<String>("path").as_deref(), Some("r"));
    }

    #[test]
    fn unquoted_scalars_become_strings_and_the_rest_is_left_out() {
        let fields = Fields::parse(r#"{"a":{"s":"x\n","t":true,"n":1e3,"l":[1],"o":{},"z":null}}"#).unwrap();
        let expected = [("n", "1e3"), ("s", "x\n"), ("t", "true")];
        assert_eq!(fields.strings("a").unwrap(), expected.map(|(k, v)| (k.into(), v.into())).into());
    }

    #[test]
    fn no_map_is_not_an_empty_map() {
        let fields = Fields::parse(r#"{"n":null,"s":"x","l":[],"e":{}}"#).unwrap();
        for name in ["n", "s", "l", "absent"] {
            assert_eq!(fields.strings(name), None, "{name}");
        }
        assert_eq!(fields.strings("e"), Some(Annotations::new()));
    }

    #[test]
    fn the_last_of_two_equal_keys_wins() {
        assert_eq!(Fields::parse(r#"{"a":1,"a":2}"#).unwrap().get::<u8>("a"), Some(2));
    }
}
