//! Nodes from nodes: what is constant becomes a constant, what is asked of the same becomes one question.

use cel::IdedExpr;
use cel::common::ast::{ComprehensionExpr, Expr, operators};
use memchr::memmem::Finder;
use serde_json::Value as Json;

use super::node::{Comparison, Kind, Node, Operator, Position};
use super::value::Value;

/// The parser has put the words `all`, `exists`, … into this form.
pub fn shape(of: &ComprehensionExpr) -> Option<(Kind, Option<&IdedExpr>, Option<&IdedExpr>)> {
    let Expr::Call(step) = &of.loop_step.expr else { return None };
    match (step.func_name.as_str(), step.args.as_slice()) {
        (operators::LOGICAL_AND, [_, test]) => Some((Kind::All, Some(test), None)),
        (operators::LOGICAL_OR, [_, test]) => Some((Kind::Exists, Some(test), None)),
        (operators::CONDITIONAL, [test, step, _]) => match element(step) {
            Some(made) => Some((Kind::Collect, Some(test), Some(made))),
            None => Some((Kind::ExistsOne, Some(test), None)),
        },
        (operators::ADD, _) => Some((Kind::Collect, None, element(&of.loop_step))),
        _ => None,
    }
}

/// What is added to the list.
fn element(step: &IdedExpr) -> Option<&IdedExpr> {
    let Expr::Call(add) = &step.expr else { return None };
    match &add.args.get(1)?.expr {
        Expr::List(list) => list.elements.first(),
        _ => None,
    }
}

pub fn constant(json: &Json) -> Value<'static> {
    match json {
        Json::String(text) => Value::Text(text.clone().into()),
        Json::Bool(yes) => Value::Bool(*yes),
        Json::Number(n) if n.is_u64() && n.as_i64().is_none() => Value::Uint(n.as_u64().unwrap_or_default()),
        Json::Number(n) => n.as_i64().map_or(Value::Float(n.as_f64().unwrap_or_default()), Value::Int),
        _ => Value::Null,
    }
}

pub fn listed(all: Vec<Node>) -> Node {
    let constants = all.iter().map(|node| match node {
        Node::Constant(value) => Some(value.clone()),
        _ => None,
    });
    match constants.collect::<Option<Vec<_>>>() {
        Some(constants) => Node::Constant(Value::Made(constants)),
        None => Node::List(all),
    }
}

pub fn texts(of: &Node) -> Option<Vec<String>> {
    match of {
        Node::Constant(Value::Text(text)) => Some(vec![text.to_string()]),
        Node::Constant(Value::Made(all)) => all.iter().map(|one| one.text().map(str::to_owned)).collect(),
        _ => None,
    }
}

pub fn within(position: Position, of: Node, what: Node) -> Node {
    match texts(&what) {
        Some(texts) if position == Position::Anywhere => {
            let finders = texts.iter().map(|text| Finder::new(text).into_owned());
            Node::Contains(of.into(), finders.collect())
        }
        Some(texts) => Node::Has(position, of.into(), texts),
        None => Node::Within(position, [of, what].into()),
    }
}

pub fn negated(of: Node) -> Node {
    match of {
        Node::Constant(Value::Int(n)) => Node::Constant(Value::Int(n.wrapping_neg())),
        Node::Constant(Value::Float(n)) => Node::Constant(Value::Float(-n)),
        of => Node::Negate(of.into()),
    }
}

/// What is decided quickly comes first: the order changes nothing in the result.
pub fn junction(and: bool, all: Vec<Node>) -> Node {
    let mut flat = Vec::new();
    for node in all {
        match node {
            Node::And(parts) if and => flat.extend(parts),
            Node::Or(parts) if !and => flat.extend(parts),
            node => flat.push(node),
        }
    }
    if !and {
        flat = merged(flat);
        if flat.len() == 1 {
            return flat.remove(0);
        }
    }
    flat.sort_by_key(Node::cost);
    if and { Node::And(flat) } else { Node::Or(flat) }
}

/// What is asked of the same text, asked at once.
fn merged(all: Vec<Node>) -> Vec<Node> {
    let mut merged: Vec<Node> = Vec::new();
    for node in all {
        let mut node = Some(node);
        merged.iter_mut().for_each(|into| node = node.take().and_then(|node| merge(into, node)));
        merged.extend(node);
    }
    merged
}

/// What could not be merged.
fn merge(into: &mut Node, node: Node) -> Option<Node> {
    match (into, node) {
        (Node::Has(a, of, texts), Node::Has(b, same_of, more)) if *a == b && same(of, &same_of) => {
            texts.extend(more)
        }
        (Node::Contains(of, finders), Node::Contains(same_of, more)) if same(of, &same_of) => {
            finders.extend(more)
        }
        (Node::Glob(of, globs), Node::Glob(same_of, more)) if same(of, &same_of) => globs.extend(more),
        (_, node) => return Some(node),
    }
    None
}

fn same(a: &Node, b: &Node) -> bool {
    match (a, b) {
        (Node::Item, Node::Item) => true,
        (Node::Term(a), Node::Term(b)) | (Node::Shared(a, _), Node::Shared(b, _)) => a == b,
        _ => false,
    }
}

pub fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

pub fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::MODULO => Operator::Remainder,
        _ => return None,
    })
}
