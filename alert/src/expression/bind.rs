//! From what the parser made of a text to what is asked of events.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, SelectExpr, operators};

use super::fold::{comparison, constant, junction, listed, negated, operator, shape, texts, within};
use super::node::{Function, Loop, Node, Position, Set};
use super::reserved::unmasked;
use super::terms::Terms;
use super::value::Value;
use super::{Definitions, ExpressionError, Glob, Network};

/// Operators within operators, those of macros, too.
const DEPTH_MAX: usize = 200;

type Bound = Result<Node, ExpressionError>;

/// Before anything walks it by calling itself: a chain is as deep as it is long.
pub fn measure(root: &IdedExpr, most: usize) -> Result<(), ExpressionError> {
    let (mut left, mut nodes) = (vec![root], 0);
    while let Some(at) = left.pop() {
        nodes += 1;
        match &at.expr {
            Expr::Call(call) => left.extend(call.target.as_deref().into_iter().chain(&call.args)),
            Expr::List(list) => {
                let constant = |e: &&IdedExpr| matches!(e.expr, Expr::Literal(_));
                left.extend(list.elements.iter().filter(|e| !constant(e)));
            }
            Expr::Select(select) => left.push(&select.operand),
            Expr::Comprehension(of) => left.extend([&of.iter_range, &of.loop_step]),
            _ => {}
        }
        if nodes > most {
            return Err(too_many(most));
        }
    }
    Ok(())
}

fn too_many(most: usize) -> ExpressionError {
    ExpressionError::new(0, format!("the expression has more than {most} operators and operands"))
}

pub fn bind(root: &IdedExpr, text: &str, with: &Definitions, terms: &mut Terms) -> Bound {
    Binder { with, terms, text, depth: 0, within: Vec::new(), variable: None, looping: false }.node(root)
}

struct Binder<'b> {
    with: &'b Definitions,
    terms: &'b mut Terms,
    text: &'b str,
    depth: usize,
    /// Macros that are being put in place.
    within: Vec<&'b str>,
    /// The loop's, where it can be seen.
    variable: Option<&'b str>,
    looping: bool,
}

impl<'b> Binder<'b> {
    /// The error shows where the text first has the word.
    fn error(&self, word: &str, what: impl Into<String>) -> ExpressionError {
        let at = if self.within.is_empty() { find(self.text, word) } else { None };
        ExpressionError::new(at.unwrap_or(0), what)
    }

    fn node(&mut self, of: &'b IdedExpr) -> Bound {
        if self.depth == DEPTH_MAX {
            let what = format!("more than {DEPTH_MAX} operators are within each other");
            return Err(ExpressionError::new(0, what));
        }
        self.depth += 1;
        let bound = self.part(of);
        self.depth -= 1;
        bound
    }

    fn part(&mut self, of: &'b IdedExpr) -> Bound {
        match &of.expr {
            Expr::Literal(literal) => self.literal(literal),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => {
                Ok(listed(list.elements.iter().map(|e| self.node(e)).collect::<Result<_, _>>()?))
            }
            Expr::Comprehension(of) => self.comprehension(of),
            Expr::Map(_) | Expr::Struct(_) => Err(self.error("{", "maps cannot be written here")),
            Expr::Unspecified => Err(self.error("", "the expression has a part without content")),
        }
    }

    fn literal(&self, literal: &LiteralValue) -> Bound {
        Ok(Node::Constant(match literal {
            LiteralValue::Boolean(yes) => Value::Bool(**yes),
            LiteralValue::Int(n) => Value::Int(**n),
            LiteralValue::UInt(n) => Value::Uint(**n),
            LiteralValue::Double(n) => Value::Float(**n),
            LiteralValue::String(text) => Value::Text(text.inner().to_owned().into()),
            LiteralValue::Null => Value::Null,
            LiteralValue::Bytes(_) => return Err(self.error("b", "bytes cannot be written here")),
        }))
    }

    fn name(&mut self, name: &'b str) -> Bound {
        if self.variable == Some(name) {
            return Ok(Node::Item);
        }
        if self.with.refused.contains(name) {
            return Err(self.error(name, format!("what {name:?} stands for was refused")));
        }
        if let Some(list) = self.with.lists.get(name) {
            return Ok(Node::Constant(Value::Made(list.iter().map(constant).collect())));
        }
        match self.with.macros.get_key_value(name) {
            Some((name, parsed)) => self.put(name, &parsed.root),
            None => Ok(Node::Term(self.terms.number(&[unmasked(name)]))),
        }
    }

    /// The macro in the place of its name.
    fn put(&mut self, name: &'b str, root: &'b IdedExpr) -> Bound {
        if let Some(node) = self.terms.bound(name) {
            return Ok(node);
        }
        if self.within.contains(&name) {
            return Err(self.error(name, format!("the macro {name:?} needs itself")));
        }
        self.within.push(name);
        // The loop around it is not its own.
        let (variable, looping) = (self.variable.take(), std::mem::take(&mut self.looping));
        let bound = self.node(root);
        (self.variable, self.looping) = (variable, looping);
        self.within.pop();
        Ok(self.terms.share(name, bound?))
    }

    fn select(&mut self, select: &'b SelectExpr) -> Bound {
        let of = self.node(&select.operand)?;
        Ok(match (of, select.test) {
            (Node::Term(term), test) => {
                let term = self.terms.member(Some(term), &select.field);
                if test { Node::HasTerm(term) } else { Node::Term(term) }
            }
            (of, true) => Node::HasMember(of.into(), select.field.clone()),
            (of, false) => Node::Member(of.into(), select.field.clone()),
        })
    }

    fn call(&mut self, call: &'b CallExpr) -> Bound {
        let name = call.func_name.as_str();
        let arguments = call.target.as_deref().into_iter().chain(&call.args);
        let mut all = arguments.map(|a| self.node(a)).collect::<Result<Vec<_>, _>>()?;
        if let operators::LOGICAL_AND | operators::LOGICAL_OR = name {
            return Ok(junction(name == operators::LOGICAL_AND, all));
        }
        match all.len() {
            1 => self.unary(name, all.remove(0)),
            2 => {
                let second = all.remove(1);
                self.binary(name, all.remove(0), second)
            }
            3 if name == operators::CONDITIONAL => match <[Node; 3]>::try_from(all) {
                Ok(all) => Ok(Node::If(all.into())),
                Err(_) => Err(self.unknown(name)),
            },
            _ => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &str) -> ExpressionError {
        self.error(name, format!("there is no function {name:?} of so many arguments"))
    }

    fn unary(&self, name: &str, of: Node) -> Bound {
        let function = match name {
            operators::LOGICAL_NOT => return Ok(Node::Not(of.into())),
            operators::NEGATE => return Ok(negated(of)),
            "size" => Function::Size,
            "basename" => Function::Basename,
            "dirname" => Function::Dirname,
            "clean" => Function::Clean,
            "lower" => Function::Lower,
            "int" => Function::Int,
            "uint" => Function::Uint,
            "double" => Function::Double,
            "string" => Function::Text,
            _ => return Err(self.unknown(name)),
        };
        Ok(Node::Call(function, of.into()))
    }

    fn binary(&mut self, name: &str, a: Node, b: Node) -> Bound {
        if let Some(how) = comparison(name) {
            return Ok(Node::Compare(how, [a, b].into()));
        }
        if let Some(operator) = operator(name) {
            return Ok(Node::Calculate(operator, [a, b].into()));
        }
        match name {
            operators::IN => Ok(match b {
                Node::Constant(Value::Made(all)) => Node::Among(a.into(), Set::new(all)),
                b => Node::In([a, b].into()),
            }),
            operators::INDEX => Ok(match (a, b) {
                (Node::Term(term), Node::Constant(Value::Text(name))) => {
                    Node::Term(self.terms.member(Some(term), &name))
                }
                (a, b) => Node::Index(a.into(), b.into()),
            }),
            "contains" => Ok(within(Position::Anywhere, a, b)),
            "startsWith" => Ok(within(Position::Start, a, b)),
            "endsWith" => Ok(within(Position::End, a, b)),
            "glob" => Ok(Node::Glob(a.into(), self.written(name, b, Glob::new)?)),
            "in_network" => Ok(Node::InNetwork(a.into(), self.written(name, b, Network::new)?)),
            _ => Err(self.unknown(name)),
        }
    }

    /// Each is read here, once.
    fn written<T>(
        &self,
        name: &str,
        of: Node,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, ExpressionError> {
        let texts = texts(&of).ok_or_else(|| {
            self.error(name, format!("what {name} compares with is written out: a text or a list of texts"))
        })?;
        texts.iter().map(|text| read(text).map_err(|e| self.error(text, e))).collect()
    }

    fn comprehension(&mut self, of: &'b ComprehensionExpr) -> Bound {
        let over = self.node(&of.iter_range)?;
        if self.looping {
            return Err(self.error("", "there is all, exists, map or filter within another of them"));
        }
        let (kind, test, made) = shape(of).ok_or_else(|| self.error("", "this loop is not known"))?;
        let outer = self.variable.replace(&of.iter_var);
        self.looping = true;
        let test = test.map(|test| self.node(test)).transpose()?;
        let made = made.map(|made| self.node(made)).transpose()?;
        self.looping = false;
        self.variable = outer;
        Ok(Node::Loop(Loop { kind, over, test, made }.into()))
    }
}

/// The word itself, not where it is part of a longer one.
fn find(text: &str, word: &str) -> Option<usize> {
    let letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let goes_on =
        |before: &str, after: &str| letter(before.chars().next_back()) && letter(after.chars().next());
    text.match_indices(word).map(|(at, _)| at).find(|&at| {
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        !goes_on(before, word) && !goes_on(word, after)
    })
}
