//! From a parser's events to nodes.

use granit_parser::{Event, Options, Parser, ScalarStyle, Span};

use super::{Data, Node, Place, YamlError};

/// Longest file, in bytes.
const LENGTH_MAX: usize = 1 << 20;
/// Maps and lists within one another.
const DEPTH_MAX: usize = 32;

/// One document; a file without one is an empty map.
pub fn read(text: &str) -> Result<Node, YamlError> {
    read_up_to(text, LENGTH_MAX)
}

pub fn read_up_to(text: &str, length_max: usize) -> Result<Node, YamlError> {
    let begin = Place { line: 1, column: 1 };
    if text.len() > length_max {
        return Err(YamlError::new(begin, format!("the file is longer than {length_max} bytes")));
    }
    let mut options = Options::default();
    options.emit_comments = false;
    options.flow_nesting_limit = DEPTH_MAX;
    options.block_nesting_limit = DEPTH_MAX;
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader { open: Vec::new(), done: None };
    for next in parser {
        let (event, span) = next.map_err(|e| {
            let place = Place { line: e.marker().line(), column: e.marker().col() + 1 };
            YamlError::new(place, format!("this is no YAML: {}", e.info()))
        })?;
        reader.event(event, span)?;
    }
    Ok(reader.done.unwrap_or(Node { place: begin, at: 0, data: Data::Map(Vec::new()) }))
}

/// A map or list that has begun.
enum Open {
    List(Vec<Node>),
    Map(Vec<(Node, Node)>, Option<Node>),
}

struct Reader {
    open: Vec<(Place, usize, Open)>,
    done: Option<Node>,
}

impl Reader {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let start = span.start;
        let (place, at) =
            (Place { line: start.line(), column: start.col() + 1 }, start.byte_offset().unwrap_or_default());
        if event.alias_id().is_some() || event.anchor_id().is_some_and(|id| id > 0) {
            return Err(YamlError::new(place, "anchors and aliases are not taken"));
        }
        if event.tag().is_some() {
            return Err(YamlError::new(place, "tags are not taken"));
        }
        match event {
            Event::Scalar(text, style, ..) => {
                let data = match style {
                    ScalarStyle::Plain => Data::Plain(text.into_owned()),
                    _ => Data::Text(text.into_owned()),
                };
                self.add(Node { place, at, data })
            }
            Event::SequenceStart(..) => self.begin(place, at, Open::List(Vec::new())),
            Event::MappingStart(..) => self.begin(place, at, Open::Map(Vec::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some((place, at, open)) = self.open.pop() else { return Ok(()) };
                let data = match open {
                    Open::List(all) => Data::List(all),
                    Open::Map(all, _) => Data::Map(all),
                };
                self.add(Node { place, at, data })
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, place: Place, at: usize, open: Open) -> Result<(), YamlError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(YamlError::new(
                place,
                format!("more than {DEPTH_MAX} maps and lists within each other"),
            ));
        }
        self.open.push((place, at, open));
        Ok(())
    }

    fn add(&mut self, node: Node) -> Result<(), YamlError> {
        match self.open.last_mut() {
            None if self.done.is_some() => return Err(node.error("a file has one document, not several")),
            None => self.done = Some(node),
            Some((_, _, Open::List(all))) => all.push(node),
            Some((_, _, Open::Map(all, key))) => match key.take() {
                None => *key = Some(new_key(all, node)?),
                Some(key) => all.push((key, node)),
            },
        }
        Ok(())
    }
}

fn new_key(all: &[(Node, Node)], key: Node) -> Result<Node, YamlError> {
    let name = key.text().map_err(|_| key.error("a key is a text"))?;
    if all.iter().any(|(other, _)| other.text() == Ok(name)) {
        return Err(key.error(format!("{name:?} is there twice")));
    }
    Ok(key)
}
