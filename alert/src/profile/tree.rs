//! Class → operation → role → attribute.

use super::entry::{Entry, Who};
use super::names::Names;
use super::trie::{Trie, Width};
use crate::behaviour::{self, ANY, Behaviour};

const CLASSES_MAX: usize = 64;
/// Of one class.
const OPERATIONS_MAX: usize = 128;
/// Of one operation: more become any.
const ROLES_MAX: usize = 64;
const NAMES_MAX: usize = 16;

type Roles = Names<Trie>;

#[derive(Debug, Clone)]
pub struct Tree {
    classes: Names<Names<Roles>>,
    entries: usize,
    /// Names side by side, at most: fewer as room gets scarce.
    width: usize,
}

impl Default for Tree {
    fn default() -> Self {
        Self { classes: Names::default(), entries: 0, width: NAMES_MAX }
    }
}

/// Where a behaviour leaves what is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Leaves {
    Class,
    /// Whether the same event is known with other qualities.
    Operation {
        variant: bool,
    },
    /// Whether another role does just that, or this one does with success what failed now.
    Role {
        elsewhere: bool,
    },
    /// So many segments of the attribute are known.
    Attribute {
        known: usize,
        elsewhere: bool,
    },
}

impl Tree {
    pub fn find(&self, b: &Behaviour) -> Result<&Entry, Leaves> {
        let Some(operations) = self.classes.get(&b.class) else { return Err(Leaves::Class) };
        let succeeds = || {
            let done = b.operation.strip_suffix('!').and_then(|done| operations.get(done));
            done.is_some_and(|roles| any_role(roles, b))
        };
        let Some(roles) = operations.get(&b.operation) else {
            let variant = operations.iter().any(|(name, _)| behaviour::event_of(name) == b.event());
            return Err(match succeeds() {
                true => Leaves::Attribute { known: 0, elsewhere: true },
                false => Leaves::Operation { variant },
            });
        };
        let elsewhere = || any_role(roles, b) || succeeds();
        let Some(trie) = roles.get(&b.role).or_else(|| roles.get(ANY)) else {
            return Err(Leaves::Role { elsewhere: elsewhere() });
        };
        match trie.find(b.segments()) {
            (_, Some(entry)) => Ok(entry),
            (known, None) => Err(Leaves::Attribute { known, elsewhere: elsewhere() }),
        }
    }

    /// Whether it is known; counts it then.
    pub fn saw(&mut self, b: &Behaviour, who: Who, time: u64) -> bool {
        let roles = self.classes.get_mut(&b.class).and_then(|c| c.get_mut(&b.operation));
        let Some(roles) = roles else { return false };
        let role = if roles.get(&b.role).is_some() { b.role.as_str() } else { ANY };
        let entry = roles.get_mut(role).and_then(|trie| trie.find_mut(b.segments()));
        entry.map(|entry| entry.saw(who, time)).is_some()
    }

    /// Whether there was room, for at most so many entries.
    pub fn add(&mut self, b: &Behaviour, entry: &Entry, entries_max: usize) -> bool {
        while self.entries >= entries_max && self.width > 2 {
            self.width /= 2;
            self.narrow();
        }
        if self.entries >= entries_max || !self.has_room(b) {
            return false;
        }
        let width = width(&b.class, self.width);
        let roles = self.classes.or_insert(&b.class).or_insert(&b.operation);
        let role = if roles.get(&b.role).is_none() && roles.get(ANY).is_some() { ANY } else { &b.role };
        let more = roles.or_insert(role).add(b.segments(), entry, width);
        self.entries = self.entries.saturating_add_signed(more);
        if roles.len() > ROLES_MAX {
            join(roles, width);
            self.count();
        }
        true
    }

    fn has_room(&self, b: &Behaviour) -> bool {
        match self.classes.get(&b.class) {
            None => self.classes.len() < CLASSES_MAX,
            Some(operations) => operations.get(&b.operation).is_some() || operations.len() < OPERATIONS_MAX,
        }
    }

    fn narrow(&mut self) {
        let names = self.width;
        let classes: Vec<_> = self.classes.iter().map(|(class, _)| class.to_owned()).collect();
        for class in classes {
            let width = width(&class, names);
            let operations = self.classes.get_mut(&class).into_iter().flat_map(Names::values_mut);
            operations.flat_map(Names::values_mut).for_each(|trie| {
                trie.narrow(width);
            });
        }
        self.count();
    }

    fn count(&mut self) {
        let operations = self.classes.iter().flat_map(|(_, all)| all.iter());
        self.entries = operations.flat_map(|(_, roles)| roles.iter()).map(|(_, trie)| trie.entries()).sum();
    }

    pub fn entries(&self) -> usize {
        self.entries
    }

    pub fn bytes(&self) -> usize {
        let mut all = self.classes.bytes();
        for (_, operations) in self.classes.iter() {
            all += operations.bytes();
            for (_, roles) in operations.iter() {
                all += roles.bytes() + roles.iter().map(|(_, trie)| trie.bytes()).sum::<usize>();
            }
        }
        all
    }

    /// In order.
    pub fn walk(&self, each: &mut dyn FnMut(Behaviour, &Entry)) {
        for (class, operations) in self.classes.iter() {
            for (operation, roles) in operations.iter() {
                for (role, trie) in roles.iter() {
                    trie.walk(&mut |parts, entry| {
                        let [class, operation, role] = [class, operation, role].map(str::to_owned);
                        each(Behaviour { class, operation, role, parts }, entry);
                    });
                }
            }
        }
    }
}

/// Programs are few, and what matters most: more of them are told apart.
fn width(class: &str, names: usize) -> Width {
    let names = if class == "executed" { names * 4 } else { names };
    Width { names, upper: 4 }
}

fn any_role(roles: &Roles, b: &Behaviour) -> bool {
    roles.iter().any(|(_, trie)| trie.find(b.segments()).1.is_some())
}

/// All roles into one.
fn join(roles: &mut Roles, width: Width) {
    let mut all = Trie::default();
    roles.take().for_each(|(_, trie)| all.merge(trie));
    all.narrow(width);
    *roles.or_insert(ANY) = all;
}
