//! Who began a conversation that was under way before an end of it was observed.

use std::{collections::HashMap, net::IpAddr};

use super::flow::{Direction, Flow};
use super::join::Party;
use super::space::{Place, place};

/// A conversation as one end has it: its own address, the peer's, transport and service.
type Seen<'p> = (Place, Place, &'p str, u16);

fn seen<'p>(party: &Party, flow: &'p Flow) -> Option<Seen<'p>> {
    let at = |address: IpAddr| place(party.network, address);
    Some((at(flow.local?), at(flow.peer?), &flow.transport, flow.port))
}

fn turned(seen: Seen<'_>) -> Seen<'_> {
    (seen.1, seen.0, seen.2, seen.3)
}

/// Has each end that does not know say what the other does. Of two that do not know, the lower address is taken for the
/// one that began: any, but both take the same.
pub fn settle(parties: &mut [Party]) {
    let unknown = |flow: &Flow| flow.direction == Direction::Unknown;
    if !parties.iter().flat_map(|p| p.flows.iter().flatten()).any(unknown) {
        return;
    }
    let mut said: HashMap<Seen<'_>, Direction> = HashMap::new();
    for party in parties.iter() {
        for flow in party.flows.iter().flatten() {
            let Some(seen) = seen(party, flow) else { continue };
            let known = said.entry(seen).or_insert(flow.direction);
            if *known == Direction::Unknown {
                *known = flow.direction;
            }
        }
    }
    let answer = |party: &Party, flow: &Flow| {
        let mine = seen(party, flow).filter(|_| unknown(flow))?;
        match said.get(&turned(mine))? {
            Direction::Outgoing => Some(Direction::Incoming),
            Direction::Incoming => Some(Direction::Outgoing),
            Direction::Unknown if mine.0 <= mine.1 => Some(Direction::Outgoing),
            Direction::Unknown => Some(Direction::Incoming),
        }
    };
    let answers: Vec<Vec<Option<Direction>>> =
        parties.iter().map(|p| p.flows.iter().flatten().map(|f| answer(p, f)).collect()).collect();
    for (party, answers) in parties.iter_mut().zip(answers) {
        for (flow, answer) in party.flows.iter_mut().flatten().zip(answers) {
            flow.direction = answer.unwrap_or(flow.direction);
        }
    }
}
