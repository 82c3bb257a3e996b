//! Attributes by their segments. A folder with too many names becomes one that takes any.

use super::entry::Entry;
use crate::behaviour::{ANY, Kind, Segment, part};

#[derive(Debug, Clone, Default)]
pub struct Trie {
    children: Vec<Child>,
    entry: Option<Box<Entry>>,
}

#[derive(Debug, Clone)]
struct Child {
    kind: Kind,
    name: Box<str>,
    below: Trie,
}

/// How many names of one kind there are side by side, at most.
#[derive(Debug, Clone, Copy)]
pub struct Width {
    pub names: usize,
    /// The first two of a path's folders say most, and may have so many times more.
    pub upper: usize,
}

impl Width {
    fn at(self, depth: usize) -> usize {
        if depth < 2 { self.names * self.upper } else { self.names }
    }
}

impl Trie {
    fn place(&self, at: Segment) -> Result<usize, usize> {
        self.children.binary_search_by(|c| (c.kind, &*c.name).cmp(&(at.kind, at.name)))
    }

    /// The one that is named so, or the one that takes any.
    fn child(&self, at: Segment) -> Option<usize> {
        let any = Segment { name: ANY, ..at };
        self.place(at).or_else(|_| self.place(any)).ok()
    }

    /// How many segments are known, and what is kept of the whole if it is.
    pub fn find<'s>(&self, segments: impl Iterator<Item = Segment<'s>>) -> (usize, Option<&Entry>) {
        let (mut at, mut depth) = (self, 0);
        for segment in segments {
            let Some(child) = at.child(segment) else { return (depth, None) };
            at = &at.children[child].below;
            depth += 1;
        }
        (depth, at.entry.as_deref())
    }

    pub fn find_mut<'s>(&mut self, segments: impl Iterator<Item = Segment<'s>>) -> Option<&mut Entry> {
        let mut at = self;
        for segment in segments {
            let child = at.child(segment)?;
            at = &mut at.children[child].below;
        }
        at.entry.as_deref_mut()
    }

    /// By how many entries there are more then: fewer than none where a folder became one.
    pub fn add<'s>(
        &mut self,
        mut segments: impl Iterator<Item = Segment<'s>>,
        entry: &Entry,
        width: Width,
    ) -> isize {
        self.put(&mut segments, entry, width, 0)
    }

    fn put<'s>(
        &mut self,
        segments: &mut dyn Iterator<Item = Segment<'s>>,
        entry: &Entry,
        width: Width,
        depth: usize,
    ) -> isize {
        let Some(segment) = segments.next() else {
            let new = self.entry.is_none();
            self.entry.get_or_insert_default().add(entry);
            return new.into();
        };
        if segment.name == ANY && self.place(segment).is_err() {
            // Written so by somebody: those there are become it.
            let there = self.children.iter().any(|c| c.kind == segment.kind);
            let less = if there { self.collapse(segment.kind) } else { 0 };
            return less + self.put_below(segment, segments, entry, width, depth);
        }
        let more = self.put_below(segment, segments, entry, width, depth);
        let side_by_side = self.children.iter().filter(|c| c.kind == segment.kind).count();
        if side_by_side > width.at(depth) { more + self.collapse(segment.kind) } else { more }
    }

    fn put_below<'s>(
        &mut self,
        segment: Segment<'s>,
        segments: &mut dyn Iterator<Item = Segment<'s>>,
        entry: &Entry,
        width: Width,
        depth: usize,
    ) -> isize {
        let at = self.child(segment).unwrap_or_else(|| self.insert(segment));
        self.children[at].below.put(segments, entry, width, depth + 1)
    }

    fn insert(&mut self, segment: Segment) -> usize {
        let at = self.place(segment).unwrap_or_else(|at| at);
        self.children.reserve_exact(1);
        self.children
            .insert(at, Child { kind: segment.kind, name: segment.name.into(), below: Self::default() });
        at
    }

    /// All names of a kind into one.
    fn collapse(&mut self, kind: Kind) -> isize {
        let before = self.entries() as isize;
        let (merged, others) = std::mem::take(&mut self.children).into_iter().partition(|c| c.kind == kind);
        self.children = others;
        let mut all = Self::default();
        let merged: Vec<Child> = merged;
        merged.into_iter().for_each(|child| all.merge(child.below));
        let at = self.insert(Segment { kind, name: ANY });
        self.children[at].below = all;
        self.entries() as isize - before
    }

    pub fn merge(&mut self, other: Self) {
        if let Some(entry) = other.entry {
            self.entry.get_or_insert_default().add(&entry);
        }
        for child in other.children {
            let segment = Segment { kind: child.kind, name: &child.name };
            if segment.name == ANY && self.place(segment).is_err() {
                self.collapse(segment.kind);
            }
            let at = self.child(segment).unwrap_or_else(|| self.insert(segment));
            self.children[at].below.merge(child.below);
        }
    }

    /// Again with a smaller width; by how many entries there are more then.
    pub fn narrow(&mut self, width: Width) -> isize {
        let before = self.entries() as isize;
        self.narrow_at(width, 0);
        self.entries() as isize - before
    }

    fn narrow_at(&mut self, width: Width, depth: usize) {
        let mut kinds: Vec<_> = self.children.iter().map(|c| c.kind).collect();
        kinds.dedup();
        for kind in kinds {
            if self.children.iter().filter(|c| c.kind == kind).count() > width.at(depth) {
                self.collapse(kind);
            }
        }
        self.children.iter_mut().for_each(|child| child.below.narrow_at(width, depth + 1));
    }

    pub fn entries(&self) -> usize {
        let below: usize = self.children.iter().map(|child| child.below.entries()).sum();
        below + usize::from(self.entry.is_some())
    }

    pub fn bytes(&self) -> usize {
        let entry = self.entry.as_ref().map_or(0, |_| super::allocated(size_of::<Entry>()));
        let below = |c: &Child| super::allocated(c.name.len()) + c.below.bytes();
        let children: usize = self.children.iter().map(below).sum();
        entry + children + super::allocated(self.children.capacity() * size_of::<Child>())
    }

    /// Parts and what is kept of them, in order.
    pub fn walk(&self, each: &mut dyn FnMut(Vec<String>, &Entry)) {
        self.walk_at(&mut Vec::new(), each);
    }

    fn walk_at<'t>(&'t self, at: &mut Vec<Segment<'t>>, each: &mut dyn FnMut(Vec<String>, &Entry)) {
        if let Some(entry) = &self.entry {
            each(part::parts(at.iter().copied()), entry);
        }
        for child in &self.children {
            at.push(Segment { kind: child.kind, name: &child.name });
            child.below.walk_at(at, each);
            at.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: Width = Width { names: 16, upper: 4 };

    fn add(trie: &mut Trie, path: &str) -> isize {
        trie.add(part::segments(path), &Entry { count: 1, ..Entry::default() }, WIDTH)
    }

    fn shown(trie: &Trie) -> Vec<String> {
        let mut all = Vec::new();
        trie.walk(&mut |parts, entry| all.push(format!("{} {}", parts.join(" "), entry.count)));
        all
    }

    #[test]
    fn a_wide_folder_becomes_one_that_takes_any() {
        let mut trie = Trie::default();
        let mut entries = 0;
        for i in 0..40 {
            let name: String = ('a'..='z').cycle().skip(i % 26).take(i / 26 + 3).collect();
            entries += add(&mut trie, &format!("/srv/www/html/{name}"));
            entries += add(&mut trie, "/srv/www/log/x");
        }
        assert_eq!(shown(&trie), ["/srv/www/html/* 40", "/srv/www/log/x 40"]);
        assert_eq!((entries, trie.entries()), (2, 2));
        assert!(trie.find(part::segments("/srv/www/html/new")).1.is_some());
        assert_eq!(trie.find(part::segments("/srv/www/html/new/below")).0, 4);
        assert_eq!(trie.find(part::segments("/srv/www")), (2, None));
    }

    #[test]
    fn folders_high_up_are_told_apart_longer() {
        let mut trie = Trie::default();
        for i in 0..40_u8 {
            add(&mut trie, &format!("/etc/{}{}", char::from(b'a' + i % 26), i));
        }
        assert_eq!(trie.entries(), 40);
        assert_eq!(trie.narrow(Width { names: 4, upper: 4 }), -39);
        assert_eq!(shown(&trie), ["/etc/* 40"]);
    }

    #[test]
    fn what_is_below_of_merged_folders_is_merged() {
        let mut trie = Trie::default();
        for i in 0..20_u8 {
            let user = char::from(b'a' + i);
            add(&mut trie, &format!("/var/lib/app/{user}/conf"));
            add(&mut trie, &format!("/var/lib/app/{user}/own-{user}"));
        }
        assert!(trie.find(part::segments("/var/lib/app/zz/conf")).1.is_some());
        let mut other = Trie::default();
        add(&mut other, "/var/lib/app/a/other");
        add(&mut other, "/var/lib/*");
        other.merge(trie);
        assert!(other.find(part::segments("/var/lib/x")).1.is_some());
        assert!(other.find(part::segments("/var/lib/y/z/conf")).1.is_some(), "{:?}", shown(&other));
    }
}
