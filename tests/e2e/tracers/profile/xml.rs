//! As much of XML as a drawing has.

/// Elements are closed in the order in which they were opened, attributes are quoted, and nothing stands in the text
/// that would have to be escaped.
pub fn assert_well_formed(xml: &str) {
    let (mut open, mut rest) = (Vec::new(), xml);
    let bad =
        |why: &str, at: &str| -> ! { panic!("{why} at {:?}", at.chars().take(200).collect::<String>()) };
    assert!(!xml.contains(|c: char| c < ' ' && !"\n\r\t".contains(c)), "a control character");
    while let Some(at) = rest.find(['<', '&']) {
        let here = &rest[at..];
        let end_of = |mark: &str| here.find(mark).map_or_else(|| bad("no end", here), |i| i + mark.len());
        let len = if here.starts_with('&') {
            let len = end_of(";");
            let name = &here[1..len - 1];
            let known = ["amp", "lt", "gt", "quot", "apos"].contains(&name) || name.starts_with('#');
            if !known { bad("no entity", here) } else { len }
        } else if here.starts_with("<![CDATA[") {
            end_of("]]>")
        } else if here.starts_with("<?") || here.starts_with("<!") {
            end_of(">")
        } else {
            let len = end_of(">");
            let tag = &here[1..len - 1];
            let name = |t: &str| t.split([' ', '/', '\n']).next().unwrap_or_default().to_owned();
            if let Some(closed) = tag.strip_prefix('/') {
                assert_eq!(open.pop().as_deref(), Some(closed.trim()), "at {:.100}", here);
            } else if !tag.ends_with('/') {
                open.push(name(tag));
            }
            if tag.matches('"').count() % 2 != 0 || tag.contains('<') {
                bad("no attribute", here)
            } else {
                len
            }
        };
        rest = &here[len..];
    }
    assert!(open.is_empty(), "not closed: {open:?}");
}
