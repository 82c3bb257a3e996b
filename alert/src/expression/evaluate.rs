//! An expression asked of an event. `None` is what cannot be said: a member that is not there, a comparison of a text
//! with a number.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::functions;
use super::node::{Comparison, Kind, Loop, Node, Operator, Position};
use super::terms::View;
use super::value::Value;

/// Whether it is true: nothing is asked beyond what decides that.
pub fn holds<'e>(node: &'e Node, view: &View<'e>) -> bool {
    match node {
        Node::And(all) => all.iter().all(|part| holds(part, view)),
        Node::Or(all) => all.iter().any(|part| holds(part, view)),
        node => truth(value(node, view, None)) == Some(true),
    }
}

fn truth(value: Option<Value<'_>>) -> Option<bool> {
    match value {
        Some(Value::Bool(yes)) => Some(yes),
        _ => None,
    }
}

/// `item` is what the loop around it is at.
fn value<'e>(node: &'e Node, view: &View<'e>, item: Option<&Value<'e>>) -> Option<Value<'e>> {
    let ask = |node: &'e Node| value(node, view, item);
    let yes = |yes: bool| Some(Value::Bool(yes));
    match node {
        Node::Constant(value) => Some(borrowed(value)),
        Node::Term(term) => view.get(*term).map(Value::of),
        Node::Item => item.cloned(),
        Node::Shared(number, of) => view.shared(*number).get_or_init(|| value(of, view, None)).clone(),
        Node::Member(of, name) => member(&ask(of)?, name),
        Node::Index(of, by) => index(&ask(of)?, &ask(by)?),
        Node::HasTerm(term) => yes(view.get(*term).is_some()),
        Node::HasMember(of, name) => yes(ask(of).is_some_and(|of| member(&of, name).is_some())),
        Node::Not(of) => yes(!truth(ask(of))?),
        Node::And(all) => decide(all, false, view, item).map(Value::Bool),
        Node::Or(all) => decide(all, true, view, item).map(Value::Bool),
        Node::If(all) => match truth(ask(&all[0]))? {
            true => ask(&all[1]),
            false => ask(&all[2]),
        },
        Node::Compare(Comparison::Equal, sides) => match &**sides {
            // What most conditions are made of.
            [Node::Term(term), Node::Constant(Value::Text(text))] => yes(view.get(*term)? == &**text),
            [a, b] => yes(ask(a)?.equals(&ask(b)?)),
        },
        Node::Compare(how, sides) => compare(*how, &ask(&sides[0])?, &ask(&sides[1])?).map(Value::Bool),
        Node::Calculate(operator, sides) => functions::calculate(*operator, ask(&sides[0])?, ask(&sides[1])?),
        Node::Negate(of) => functions::calculate(Operator::Subtract, zero(&ask(of)?)?, ask(of)?),
        Node::Among(what, set) => yes(set.has(&ask(what)?)),
        Node::In(sides) => among(&ask(&sides[0])?, ask(&sides[1])?).map(Value::Bool),
        Node::List(all) => all.iter().map(ask).collect::<Option<_>>().map(Value::Made),
        Node::Contains(of, finders) => functions::contains(&ask(of)?, finders).map(Value::Bool),
        Node::Has(position, of, all) => {
            let of = ask(of)?;
            any(all.iter().map(|one| functions::within(*position, &of, one)))
        }
        Node::Within(position, sides) => within(*position, &ask(&sides[0])?, ask(&sides[1])?),
        Node::Glob(of, globs) => {
            let of = ask(of)?;
            let text = of.text()?;
            yes(globs.iter().any(|glob| glob.matches(text)))
        }
        Node::InNetwork(of, networks) => {
            let of = ask(of)?;
            let text = of.text()?;
            any(networks.iter().map(|network| network.has(text)))
        }
        Node::Call(function, of) => functions::call(*function, ask(of)?),
        Node::Loop(of) => match ask(&of.over)? {
            Value::Elements(all) => run(of, view, all.iter().map(Value::of)),
            other => run(of, view, other.elements()?.into_iter()),
        },
    }
}

fn borrowed<'e>(of: &'e Value<'static>) -> Value<'e> {
    match of {
        Value::Text(text) => Value::Text(Cow::Borrowed(text)),
        other => other.clone(),
    }
}

fn zero<'e>(like: &Value<'_>) -> Option<Value<'e>> {
    match like {
        Value::Int(_) => Some(Value::Int(0)),
        Value::Float(_) => Some(Value::Float(-0.0)),
        _ => None,
    }
}

fn any<'e>(mut all: impl Iterator<Item = Option<bool>>) -> Option<Value<'e>> {
    all.try_fold(false, |any, one| one.map(|one| any || one)).map(Value::Bool)
}

/// `||` is decided by what is true, `&&` by what is not, even where something else cannot be said.
fn decide<'e>(all: &'e [Node], by: bool, view: &View<'e>, item: Option<&Value<'e>>) -> Option<bool> {
    let mut said = Some(!by);
    for part in all {
        match truth(value(part, view, item)) {
            Some(yes) if yes == by => return Some(by),
            Some(_) => {}
            None => said = None,
        }
    }
    said
}

fn compare(how: Comparison, a: &Value<'_>, b: &Value<'_>) -> Option<bool> {
    Some(match how {
        Comparison::Equal => a.equals(b),
        Comparison::NotEqual => !a.equals(b),
        Comparison::Less => a.compare(b)? == Ordering::Less,
        Comparison::LessOrEqual => a.compare(b)? != Ordering::Greater,
        Comparison::Greater => a.compare(b)? == Ordering::Greater,
        Comparison::GreaterOrEqual => a.compare(b)? != Ordering::Less,
    })
}

fn member<'e>(of: &Value<'e>, name: &str) -> Option<Value<'e>> {
    match of {
        Value::Members(all) => all.get(name).map(Value::of),
        _ => None,
    }
}

fn index<'e>(of: &Value<'e>, by: &Value<'_>) -> Option<Value<'e>> {
    let at = match by {
        Value::Text(name) => return member(of, name),
        Value::Int(at) => usize::try_from(*at).ok()?,
        Value::Uint(at) => usize::try_from(*at).ok()?,
        _ => return None,
    };
    match of {
        Value::Elements(all) => all.get(at).map(Value::of),
        Value::Made(all) => all.get(at).cloned(),
        _ => None,
    }
}

fn among(what: &Value<'_>, all: Value<'_>) -> Option<bool> {
    match all {
        Value::Members(all) => match what {
            Value::Text(name) => Some(all.contains_key(&**name)),
            Value::Int(_) | Value::Uint(_) | Value::Float(_) | Value::Bool(_) => Some(false),
            _ => None,
        },
        Value::Elements(all) => Some(all.iter().any(|one| Value::of(one).equals(what))),
        Value::Made(all) => Some(all.iter().any(|one| one.equals(what))),
        _ => None,
    }
}

fn within<'e>(position: Position, of: &Value<'_>, what: Value<'_>) -> Option<Value<'e>> {
    match what {
        Value::Text(text) => functions::within(position, of, &text).map(Value::Bool),
        several => any(several.elements()?.iter().map(|one| functions::within(position, of, one.text()?))),
    }
}

fn run<'e>(of: &'e Loop, view: &View<'e>, mut all: impl Iterator<Item = Value<'e>>) -> Option<Value<'e>> {
    let test = |item: &Value<'e>| match &of.test {
        Some(test) => truth(value(test, view, Some(item))),
        None => Some(true),
    };
    match of.kind {
        Kind::All | Kind::Exists => {
            let by = of.kind == Kind::Exists;
            let mut said = Some(!by);
            for item in all {
                match test(&item) {
                    Some(yes) if yes == by => return Some(Value::Bool(by)),
                    Some(_) => {}
                    None => said = None,
                }
            }
            said.map(Value::Bool)
        }
        Kind::ExistsOne => {
            let count = all.try_fold(0, |count, item| test(&item).map(|yes| count + usize::from(yes)))?;
            Some(Value::Bool(count == 1))
        }
        Kind::Collect => {
            let mut made = Vec::new();
            for item in all {
                if test(&item)? {
                    made.push(match &of.made {
                        Some(node) => value(node, view, Some(&item))?,
                        None => item,
                    });
                }
            }
            Some(Value::Made(made))
        }
    }
}
