use serde_json::json;

use super::{Members, Place, read, write};

fn error(text: &str) -> String {
    read(text).map(|n| n.json().to_string()).expect_err(text).to_string()
}

#[test]
fn each_node_knows_its_place() {
    let node = read("a: 1\nb:\n  - x\n  - c: \"d\"\n").unwrap();
    let list = node.map().unwrap()[1].1.list().unwrap();
    assert_eq!(list[0].place, Place { line: 3, column: 5 });
    assert_eq!(list[1].map().unwrap()[0].1.place, Place { line: 4, column: 8 });
    assert_eq!(node.json(), json!({"a": 1, "b": ["x", {"c": "d"}]}));
}

#[test]
fn plain_scalars_are_what_they_look_like() {
    let text = "[1, -2, 0x10, 0o17, 1.5, true, null, ~, '1', yes, 1.2.3, 0755, 18446744073709551615, -, 1e3]";
    let want = json!([
        1,
        -2,
        16,
        15,
        1.5,
        true,
        null,
        null,
        "1",
        "yes",
        "1.2.3",
        755,
        18446744073709551615_u64,
        "-",
        1000.0
    ]);
    let text = text.replace(" -,", " '-',");
    assert_eq!(read(&text).unwrap().json(), want);
}

#[test]
fn what_is_not_taken_is_refused_where_it_stands() {
    for (text, want) in [
        ("a: &x 1", "1:7: anchors"),
        ("a: &x 1\nb: *x", "anchors"),
        ("a: !!str 1", "tags are not taken"),
        ("a: 1\nb: 2\na: 3", "3:1: \"a\" is there twice"),
        ("[1, 2]: 3", "a key is a text"),
        ("a: [1", "no YAML"),
        ("a: 1\n---\nb: 2", "one document"),
        ("a: b: c", "no YAML"),
        ("a:\n\tb: 1", "no YAML"),
    ] {
        let said = error(text);
        assert!(said.contains(want), "{text:?}: {said}");
    }
    assert!(error(&"[".repeat(64)).contains("1:"));
    assert!(error(&"- ".repeat(64)).contains("1:"));
    assert!(error(&" ".repeat(2 << 20)).contains("longer than"));
}

#[test]
fn unknown_members_are_named() {
    let node = read("id: x\nsevrity: low").unwrap();
    let said = Members::of(&node, &["id", "severity"]).unwrap_err().to_string();
    assert_eq!(said, "2:1: \"sevrity\" is not known here; known are id, severity");
    let members = Members::of(&node, &["id", "sevrity"]).unwrap();
    assert!(members.need("more").unwrap_err().to_string().contains("there is no more"));
}

#[test]
fn what_is_written_is_read_as_it_was() {
    let hostile = "a\u{85}b\u{2028}\u{feff}\u{7f}\n\"\\\t#: - é 😀";
    for value in [
        json!({"a": {"b": [1, 2.5, {"c": [], "d": {}, "e": [[1], ["x"]]}], "/bin/sh": true}, "": ""}),
        json!({"yes": "no", "1": "1", "null": null, "x": "true", "- a": "b: c", "#": "a #b", "t": "~"}),
        json!([
            hostile, "", " ", "a ", "0x1f", "1e3", "*", "&a", "!x", "%x", "@x", "`x`", "a:", "a,b", "[x]"
        ]),
        json!({hostile: hostile}),
        json!("text"),
        json!([]),
        json!([[{"a": 1, "b": 2}], 18446744073709551615_u64, -1]),
    ] {
        let text = write(&value);
        assert_eq!(read(&text).unwrap_or_else(|e| panic!("{text}: {e}")).json(), value, "{text}");
    }
    assert_eq!(
        write(&json!({"a": {"b": ["/bin/sh", {"c": 1, "d": "2"}]}})),
        "a:\n  b:\n    - /bin/sh\n    - c: 1\n      d: \"2\"\n"
    );
}
