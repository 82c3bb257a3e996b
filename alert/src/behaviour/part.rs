//! Parts of an attribute, and the segments by which a tree holds them: a path by its folders, a DNS name (it ends with a dot)
//! from its end, anything else whole. Which it is can be seen by the part alone, so that files have parts and nothing else.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Kind {
    /// First folder of a path, from where a further part begins.
    Root,
    Folder,
    /// Last label of a DNS name.
    Top,
    Label,
    Whole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment<'a> {
    pub kind: Kind,
    pub name: &'a str,
}

pub fn segments(part: &str) -> impl Iterator<Item = Segment<'_>> {
    let path = part.strip_prefix('/');
    let domain = if path.is_none() { part.strip_suffix('.') } else { None };
    let whole = if path.is_none() && domain.is_none() { Some(part) } else { None };
    let paths = numbered(path.map(|p| p.split('/')), Kind::Root, Kind::Folder);
    let labels = numbered(domain.map(|d| d.rsplit('.')), Kind::Top, Kind::Label);
    paths.chain(labels).chain(whole.map(|name| Segment { kind: Kind::Whole, name }))
}

fn numbered<'a>(
    names: Option<impl Iterator<Item = &'a str>>,
    first: Kind,
    others: Kind,
) -> impl Iterator<Item = Segment<'a>> {
    let names = names.into_iter().flatten().enumerate();
    names.map(move |(i, name)| Segment { kind: if i == 0 { first } else { others }, name })
}

/// Parts again.
pub fn parts<'a>(segments: impl IntoIterator<Item = Segment<'a>>) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for Segment { kind, name } in segments {
        match (kind, parts.last_mut()) {
            (Kind::Folder, Some(last)) => {
                last.push('/');
                last.push_str(name);
            }
            (Kind::Label, Some(last)) => last.insert_str(0, &format!("{name}.")),
            (Kind::Root | Kind::Folder, _) => parts.push(format!("/{name}")),
            (Kind::Top | Kind::Label, _) => parts.push(format!("{name}.")),
            (Kind::Whole, _) => parts.push(name.to_owned()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_same_after_they_were_segments() {
        for all in [
            vec!["/usr/bin/id", "-u #"],
            vec!["/a", "/b/c", "/"],
            vec!["api.example.com.", "private", "443"],
            vec![".", "/a/", "/a//b", "", "*", "com.", "x/y"],
        ] {
            let back = parts(all.iter().flat_map(|part| segments(part)));
            assert_eq!(back, all);
        }
    }
}
