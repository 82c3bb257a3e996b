//! Flows into edges: a flow that one container calls outgoing and another one incoming is one edge.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use super::flow::{Counts, Direction, Flow};
use super::settle::settle;
use super::space::{Owner, Past, Place, Spaces, place};
use super::{Edge, Kind, Node, SeenBy, Topology};

/// A container with what it has seen.
#[derive(Debug, Clone)]
pub struct Party {
    pub id: String,
    pub name: String,
    pub pod: Option<String>,
    pub namespace: Option<String>,
    /// Inode of its network namespace: loopback addresses mean something within it alone.
    pub network: u64,
    /// None if no tracer of its keeps any.
    pub flows: Option<Vec<Flow>>,
}

/// What both ends call alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    client: Option<Place>,
    server: Option<Place>,
    transport: String,
    port: u16,
}

impl Key {
    fn of(party: &Party, flow: &Flow) -> Self {
        let local = flow.local.map(|a| place(party.network, a));
        let peer = flow.peer.map(|a| place(party.network, a));
        let (client, server) = if began(flow) { (local, peer) } else { (peer, local) };
        Self { client, server, transport: flow.transport.clone(), port: flow.port }
    }
}

/// Where nobody knows who began, the container did: its peer is drawn as the one that is asked.
fn began(flow: &Flow) -> bool {
    flow.direction != Direction::Incoming
}

/// Flows by what both ends call alike.
type Ends<'p> = HashMap<Key, Vec<(&'p Party, &'p Flow)>>;

fn ends(parties: &[Party], wanted: impl Fn(&Flow) -> bool) -> Ends<'_> {
    let mut ends: Ends = HashMap::new();
    for party in parties {
        for flow in party.flows.iter().flatten().filter(|flow| wanted(flow)) {
            ends.entry(Key::of(party, flow)).or_default().push((party, flow));
        }
    }
    ends
}

pub fn join(mut parties: Vec<Party>, past: &Past) -> Topology {
    settle(&mut parties);
    let parties = parties.as_slice();
    let spaces = Spaces::of(parties, past);
    let (clients, servers) = (ends(parties, began), ends(parties, |flow| !began(flow)));
    let mut map = Map::default();
    let mut joined = BTreeSet::new();
    for (key, clients) in &clients {
        let servers = servers.get(key).map_or(&[][..], Vec::as_slice);
        for (party, flow) in clients {
            let alone = clients.len() == 1 && !spaces.lost_one(party.network, &flow.counts.first);
            match servers {
                [(server, theirs)] if is_all(&spaces, server, flow, theirs, alone) => {
                    map.add(&party.id, &server.id, flow, &flow.counts, SeenBy::Both);
                    if alone {
                        map.server_knows(&party.id, &server.id, flow, &theirs.counts);
                    }
                }
                _ => {
                    let target = map.other(&spaces, party, flow);
                    map.add(&party.id, &target, flow, &flow.counts, SeenBy::Source);
                }
            }
        }
        // What the servers of one namespace have seen of it is told by the clients.
        if servers.windows(2).all(|two| two[0].0.network == two[1].0.network) {
            joined.insert(key);
        }
    }
    for servers in servers.iter().filter(|(key, _)| !joined.contains(key)).map(|(_, servers)| servers) {
        for (party, flow) in servers {
            let source = map.other(&spaces, party, flow);
            map.add(&source, &party.id, flow, &turned(&flow.counts), SeenBy::Target);
        }
    }
    map.finish(parties)
}

/// Whether the server has had all of a flow: another one at its address, which is gone, may have had some before.
fn is_all(spaces: &Spaces, server: &Party, flow: &Flow, theirs: &Flow, alone: bool) -> bool {
    let counted = |flow: &Flow| flow.counts.connections;
    !spaces.lost_one(server.network, &flow.counts.first)
        || alone && counted(flow) > 0 && counted(flow) == counted(theirs)
}

/// As the other end would have counted.
fn turned(counts: &Counts) -> Counts {
    Counts {
        sent: counts.received,
        received: counts.sent,
        sent_packets: counts.received_packets,
        received_packets: counts.sent_packets,
        ..counts.clone()
    }
}

#[derive(Default)]
struct Map {
    edges: BTreeMap<(String, String, String, u16), Edge>,
    outside: BTreeMap<String, Node>,
}

impl Map {
    /// The other end of a flow that only this container has seen.
    fn other(&mut self, spaces: &Spaces, party: &Party, flow: &Flow) -> String {
        let Some(peer) = flow.peer else {
            return self.outside(Node::alone("others".to_owned(), Kind::Others, "others".to_owned()));
        };
        match spaces.owner(place(party.network, peer), &flow.counts.first) {
            Some(Owner::Container(id)) => id.to_owned(),
            Some(Owner::Space(node)) => {
                let id = self.outside(node);
                if let Some(node) = self.outside.get_mut(&id).filter(|_| !peer.is_loopback()) {
                    node.addresses.push(peer.to_string());
                    node.addresses.sort();
                    node.addresses.dedup();
                }
                id
            }
            None => {
                // Somebody's own loopback is nobody else's.
                let own = || format!("{peer} of {}", party.network);
                let id = if peer.is_loopback() { own() } else { peer.to_string() };
                self.outside(Node::alone(id, Kind::Peer, peer.to_string()))
            }
        }
    }

    fn outside(&mut self, node: Node) -> String {
        let id = node.id.clone();
        self.outside.entry(id.clone()).or_insert(node);
        id
    }

    fn add(&mut self, source: &str, target: &str, flow: &Flow, counts: &Counts, seen_by: SeenBy) {
        let key = (source.to_owned(), target.to_owned(), flow.transport.clone(), flow.port);
        let edge = self.edges.entry(key).or_insert_with(|| Edge {
            source: source.to_owned(),
            target: target.to_owned(),
            transport: flow.transport.clone(),
            port: flow.port,
            seen_by,
            connections: 0,
            failures: 0,
            active: 0,
            sent_bytes: 0,
            received_bytes: 0,
            sent_packets: 0,
            received_packets: 0,
            retransmits: 0,
            round_trip: None,
            first: counts.first.clone(),
            last: counts.last.clone(),
        });
        if edge.seen_by != seen_by {
            edge.seen_by = SeenBy::Both;
        }
        edge.connections += counts.connections;
        edge.failures += counts.failures;
        edge.active += counts.active;
        edge.sent_bytes += counts.sent;
        edge.received_bytes += counts.received;
        edge.sent_packets += counts.sent_packets;
        edge.received_packets += counts.received_packets;
        edge.retransmits += counts.retransmits;
        edge.round_trip = longest(edge.round_trip, counts.round_trip);
        // RFC 3339 in UTC: text is ordered as time is.
        edge.first = edge.first.clone().min(counts.first.clone());
        edge.last = edge.last.clone().max(counts.last.clone());
    }

    /// What only the other end can have noticed: segments that it had to send again.
    fn server_knows(&mut self, source: &str, target: &str, flow: &Flow, theirs: &Counts) {
        let key = (source.to_owned(), target.to_owned(), flow.transport.clone(), flow.port);
        if let Some(edge) = self.edges.get_mut(&key) {
            edge.retransmits += theirs.retransmits;
            edge.round_trip = longest(edge.round_trip, theirs.round_trip);
        }
    }

    fn finish(self, parties: &[Party]) -> Topology {
        let container = |party: &Party| {
            let own = party.flows.iter().flatten().filter_map(|flow| flow.local);
            let own: BTreeSet<IpAddr> = own.filter(|a| !a.is_loopback()).collect();
            Node {
                id: party.id.clone(),
                kind: Kind::Container,
                name: party.name.clone(),
                pod: party.pod.clone(),
                namespace: party.namespace.clone(),
                addresses: own.iter().map(IpAddr::to_string).collect(),
            }
        };
        let nodes = parties.iter().map(container).chain(self.outside.into_values()).collect();
        let unseen = parties.iter().filter(|p| p.flows.is_none()).map(|p| p.id.clone()).collect();
        Topology { nodes, edges: self.edges.into_values().collect(), unseen, truncated: false }
    }
}

fn longest(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}
