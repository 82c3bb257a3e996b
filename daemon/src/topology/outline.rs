//! The map without addresses and ports: containers by name, everybody else by the class of their address.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use super::{Edge, Kind, Node, Topology, space::HOST};

/// Edges kept apart; the rest are one.
const MOST: usize = 1000;
/// Who stands for what is not kept apart.
const OTHER: &str = "~other";
/// One of those that share a network namespace, and nobody can tell which.
const SHARED: &str = "~shared";

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outline {
    pub edges: BTreeMap<(End, End), Sum>,
    /// Edges that are in the one of the rest.
    pub left_out: usize,
}

/// A container; or a class of addresses, which begins with `~` as no manager names a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    pub namespace: String,
    pub pod: String,
    pub container: String,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sum {
    pub connections: u64,
    pub failures: u64,
    pub active: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    pub retransmits: u64,
    pub round_trip: Option<f64>,
}

impl Outline {
    /// `host`: the node's own addresses.
    pub fn of(topology: &Topology, host: &[IpAddr]) -> Self {
        let ends: HashMap<&str, End> =
            topology.nodes.iter().map(|node| (node.id.as_str(), End::of(node, host))).collect();
        let mut edges: BTreeMap<(End, End), Sum> = BTreeMap::new();
        for edge in &topology.edges {
            let end = |id: &str| ends.get(id).cloned().unwrap_or_else(|| End::class(OTHER));
            edges.entry((end(&edge.source), end(&edge.target))).or_default().add(&Sum::of(edge));
        }
        Self { edges, left_out: 0 }.within(MOST)
    }

    /// The largest, and one for the rest.
    fn within(mut self, most: usize) -> Self {
        if self.edges.len() <= most {
            return self;
        }
        let mut all: Vec<_> = std::mem::take(&mut self.edges).into_iter().collect();
        all.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.size()));
        let mut rest = Sum::default();
        let smallest = all.split_off(most);
        smallest.iter().for_each(|(_, sum)| rest.add(sum));
        self.left_out = smallest.len();
        self.edges = all.into_iter().collect();
        self.edges.entry((End::class(OTHER), End::class(OTHER))).or_default().add(&rest);
        self
    }
}

impl End {
    fn of(node: &Node, host: &[IpAddr]) -> Self {
        match node.kind {
            Kind::Container => Self { container: node.name.clone(), ..Self::of_pod(node) },
            Kind::Network => match &node.pod {
                None if node.name == HOST => Self::class("~host"),
                _ => Self { container: SHARED.to_owned(), ..Self::of_pod(node) },
            },
            Kind::Peer => Self::class(node.name.parse().map_or(OTHER, |address| class(address, host))),
            Kind::Others => Self::class(OTHER),
        }
    }

    fn of_pod(node: &Node) -> Self {
        Self {
            namespace: node.namespace.clone().unwrap_or_default(),
            pod: node.pod.clone().unwrap_or_default(),
            container: String::new(),
        }
    }

    fn class(name: &str) -> Self {
        Self { container: name.to_owned(), ..Self::default() }
    }
}

/// Of addresses that are alike to who looks from afar.
fn class(address: IpAddr, host: &[IpAddr]) -> &'static str {
    let (private, link_local) = match address {
        // 100.64.0.0/10 is shared by those behind one provider, or one cluster.
        IpAddr::V4(a) => {
            (a.is_private() || a.octets()[0] == 100 && a.octets()[1] & 0xc0 == 64, a.is_link_local())
        }
        IpAddr::V6(a) => (a.is_unique_local(), a.is_unicast_link_local()),
    };
    let broadcast = matches!(address, IpAddr::V4(a) if a.is_broadcast());
    if address.is_loopback() {
        "~loopback"
    } else if host.contains(&address) {
        "~host"
    } else if link_local {
        "~link-local"
    } else if address.is_multicast() || broadcast {
        "~multicast"
    } else if private {
        "~private"
    } else if address.is_unspecified() {
        OTHER
    } else {
        "~internet"
    }
}

impl Sum {
    fn of(edge: &Edge) -> Self {
        Self {
            connections: edge.connections,
            failures: edge.failures,
            active: edge.active,
            sent_bytes: edge.sent_bytes,
            received_bytes: edge.received_bytes,
            retransmits: edge.retransmits,
            round_trip: edge.round_trip,
        }
    }

    fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.failures += other.failures;
        self.active += other.active;
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
        self.retransmits += other.retransmits;
        let longest = self.round_trip.into_iter().chain(other.round_trip).reduce(f64::max);
        self.round_trip = longest;
    }

    /// By which the largest are found: bytes, then attempts to connect.
    fn size(&self) -> (u64, u64) {
        (self.sent_bytes + self.received_bytes, self.connections + self.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(container: &str) -> End {
        End::class(container)
    }

    fn bytes(sent_bytes: u64) -> Sum {
        Sum { sent_bytes, connections: 1, ..Sum::default() }
    }

    #[test]
    fn an_address_has_one_class() {
        let host = ["10.0.0.7".parse().unwrap()];
        for (address, expected) in [
            ("127.0.0.2", "~loopback"),
            ("::1", "~loopback"),
            ("10.0.0.7", "~host"),
            ("10.0.0.8", "~private"),
            ("172.16.3.4", "~private"),
            ("192.168.1.1", "~private"),
            ("100.64.0.1", "~private"),
            ("fd00::1", "~private"),
            ("169.254.169.254", "~link-local"),
            ("fe80::1", "~link-local"),
            ("224.0.0.251", "~multicast"),
            ("255.255.255.255", "~multicast"),
            ("ff02::1", "~multicast"),
            ("0.0.0.0", "~other"),
            ("100.128.0.1", "~internet"),
            ("172.32.0.1", "~internet"),
            ("2001:db8::1", "~internet"),
        ] {
            assert_eq!(class(address.parse().unwrap(), &host), expected, "{address}");
        }
    }

    #[test]
    fn addresses_and_ports_are_added_up() {
        let node = |id: &str, kind| Node {
            id: id.into(),
            kind,
            name: id.into(),
            pod: None,
            namespace: None,
            addresses: Vec::new(),
        };
        let edge = |target: &str, port, round_trip| Edge {
            source: "web".into(),
            target: target.into(),
            transport: "tcp".into(),
            port,
            seen_by: super::super::SeenBy::Source,
            connections: 1,
            failures: 2,
            active: 3,
            sent_bytes: 4,
            received_bytes: 5,
            sent_packets: 0,
            received_packets: 0,
            retransmits: 6,
            round_trip,
            first: String::new(),
            last: String::new(),
        };
        let nodes = vec![
            node("web", Kind::Container),
            node("192.0.2.1", Kind::Peer),
            node("192.0.2.2", Kind::Peer),
            node("others", Kind::Others),
        ];
        let edges = vec![
            edge("192.0.2.1", 80, Some(0.5)),
            edge("192.0.2.1", 443, None),
            edge("192.0.2.2", 80, Some(0.25)),
            edge("others", 0, None),
        ];
        let outline = Outline::of(&Topology { nodes, edges, ..Topology::default() }, &[]);
        let ends: Vec<_> =
            outline.edges.keys().map(|(s, t)| (s.container.as_str(), t.container.as_str())).collect();
        assert_eq!(ends, [("web", "~internet"), ("web", "~other")]);
        let expected = Sum {
            connections: 3,
            failures: 6,
            active: 9,
            sent_bytes: 12,
            received_bytes: 15,
            retransmits: 18,
            round_trip: Some(0.5),
        };
        assert_eq!(outline.edges[&(end("web"), end("~internet"))], expected);
        assert_eq!(outline.left_out, 0);
    }

    #[test]
    fn beyond_the_bound_the_smallest_are_one() {
        let edges = (0..10).map(|n| ((end("web"), end(&format!("db-{n}"))), bytes(n))).collect();
        let outline = Outline { edges, left_out: 0 }.within(3);
        assert_eq!((outline.edges.len(), outline.left_out), (4, 7));
        let rest = &outline.edges[&(end("~other"), end("~other"))];
        assert_eq!((rest.sent_bytes, rest.connections), (21, 7));
        assert!(outline.edges.contains_key(&(end("web"), end("db-9"))));
        assert_eq!(outline.clone().within(4), outline);
    }
}
