//! Whose an address is, where nobody at the other end says so. It is a network namespace's; it is a container's only where
//! nobody else can have had it meanwhile.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use super::join::Party;
use super::{Kind, Node};

/// Where an address is one and the same: everywhere, or in one network namespace.
pub(super) type Place = (Option<u64>, IpAddr);

pub(super) fn place(network: u64, address: IpAddr) -> Place {
    (address.is_loopback().then_some(network), address)
}

/// What the host's own network namespace is called.
pub(super) const HOST: &str = "host";

/// What is known beside the containers that run.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// Inode of the host's own network namespace.
    pub host: u64,
    pub ended: Vec<Ended>,
}

/// A container that is gone.
#[derive(Debug, Clone)]
pub struct Ended {
    pub network: u64,
    /// RFC 3339, as flows have it.
    pub at: String,
}

pub(super) struct Spaces<'p> {
    networks: HashMap<Place, BTreeSet<u64>>,
    members: HashMap<u64, Vec<&'p Party>>,
    past: &'p Past,
}

/// Who has an address.
pub(super) enum Owner<'p> {
    Container(&'p str),
    /// One of those in a network namespace.
    Space(Node),
}

impl<'p> Spaces<'p> {
    pub fn of(parties: &'p [Party], past: &'p Past) -> Self {
        let mut networks: HashMap<Place, BTreeSet<u64>> = HashMap::new();
        let mut members: HashMap<u64, Vec<&Party>> = HashMap::new();
        for party in parties.iter().filter(|party| party.network != 0) {
            members.entry(party.network).or_default().push(party);
            for local in party.flows.iter().flatten().filter_map(|flow| flow.local) {
                networks.entry(place(party.network, local)).or_default().insert(party.network);
            }
        }
        Self { networks, members, past }
    }

    /// Since when the address was somebody's is asked, too: another container of the namespace may have been it.
    pub fn owner(&self, place: Place, since: &str) -> Option<Owner<'p>> {
        let networks = self.networks.get(&place)?;
        let network = *networks.first().filter(|_| networks.len() == 1)?;
        let members = &self.members[&network];
        match members.as_slice() {
            [only] if !self.has_strangers(network, members) && !self.lost_one(network, since) => {
                Some(Owner::Container(&only.id))
            }
            _ => Some(Owner::Space(self.node(network, members))),
        }
    }

    /// Whether one of a namespace's containers has ended since then.
    pub fn lost_one(&self, network: u64, since: &str) -> bool {
        // RFC 3339 in UTC: text is ordered as time is.
        self.past.ended.iter().any(|ended| ended.network == network && ended.at.as_str() >= since)
    }

    /// On the host and in a pod there may be others whom nobody follows.
    fn has_strangers(&self, network: u64, members: &[&Party]) -> bool {
        network == self.past.host || members.iter().any(|m| m.pod.is_some())
    }

    fn node(&self, network: u64, members: &[&Party]) -> Node {
        let pod = members.iter().find(|m| m.pod.is_some());
        let name = match (network == self.past.host, pod.and_then(|m| m.pod.as_ref())) {
            (true, _) => HOST.to_owned(),
            (false, Some(pod)) => format!("pod {pod}"),
            (false, None) => {
                let names: BTreeSet<&str> = members.iter().map(|m| m.name.as_str()).collect();
                format!("network of {}", names.into_iter().collect::<Vec<_>>().join(", "))
            }
        };
        let pod = pod.filter(|_| network != self.past.host);
        Node {
            id: format!("network {network}"),
            kind: Kind::Network,
            name,
            pod: pod.and_then(|m| m.pod.clone()),
            namespace: pod.and_then(|m| m.namespace.clone()),
            addresses: Vec::new(),
        }
    }
}
