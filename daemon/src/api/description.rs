//! The API's own description, `openapi.yaml`, as it was packed by the build.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/openapi.deflate"));

/// OpenAPI 3.1, as JSON.
pub fn text() -> Vec<u8> {
    miniz_oxide::inflate::decompress_to_vec(PACKED).unwrap_or_default()
}

pub async fn serve() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text()).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    #[test]
    fn every_route_is_described_and_nothing_else_is() {
        let document: Value = serde_json::from_slice(&super::text()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let described: BTreeSet<&str> =
            document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let routed: BTreeSet<&str> = super::super::routes().into_iter().map(|(path, _)| path).collect();
        assert_eq!(described, routed);
    }

    #[test]
    fn every_operation_has_an_example_and_a_name() {
        let document: Value = serde_json::from_slice(&super::text()).unwrap();
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in
                item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters")
            {
                let source = operation["x-codeSamples"][0]["source"].as_str().unwrap_or_default();
                assert!(
                    source.starts_with("curl --unix-socket /run/remora/api.sock "),
                    "{method} {path}: {source}"
                );
                assert!(
                    names.insert(operation["operationId"].as_str().unwrap().to_owned()),
                    "{method} {path}"
                );
            }
        }
    }

    #[test]
    fn no_comma_has_cut_a_sentence() {
        fn whole(value: &Value) -> bool {
            match value {
                Value::Null => false,
                Value::Array(all) => all.iter().all(whole),
                Value::Object(all) => all.values().all(whole),
                _ => true,
            }
        }
        let document: Value = serde_json::from_slice(&super::text()).unwrap();
        assert!(whole(&document), "a text with a comma in braces needs quotes");
    }
}
