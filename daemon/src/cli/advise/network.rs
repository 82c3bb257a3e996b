//! A NetworkPolicy of Kubernetes, out of the network map.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::Path,
};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::{Evidence, Which, write};
use crate::api::client;
use crate::registry::record::View;
use crate::topology::{Edge, Kind, Node, Topology};

/// Labels that are another's with each rollout: a policy that names one is soon nobody's.
const PASSING: [&str; 3] = ["controller-revision-hash", "pod-template-generation", "pod-template-hash"];
/// By which a namespace is known, on each cluster from 1.21 on.
const NAMESPACE: &str = "kubernetes.io/metadata.name";
/// Longest name of an object.
const NAME_MAX: usize = 63;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// A label of the pods that this is for, in the place of those that labels.identity in remora.toml lets be known;
    /// may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    selector: Vec<String>,
}

pub async fn run(args: Args, socket: &Path) -> anyhow::Result<()> {
    let mut evidence = Evidence::gather(&args.which, socket, |table| table["flow"] == true).await?;
    let topology: Topology = client::json(socket, "/v1/topology").await?;
    let views: Vec<View> = client::json(socket, "/v1/containers").await?;
    let known = Known { topology: &topology, views: views.iter().map(|v| (v.id.as_str(), v)).collect() };
    if !topology.nodes.iter().any(|node| node.id == evidence.view.id) {
        bail!("container {} is not on the network map: it must run", evidence.view.name);
    }
    let labels = match args.selector.is_empty() {
        true => steady(&evidence.view),
        false => chosen(&args.selector)?,
    };
    if labels.is_empty() {
        bail!(
            "the pod's labels are not known: name them in [labels] identity of remora.toml, or say --selector KEY=VALUE"
        );
    }
    let (policy, notes) = known.policy(&evidence.view, &labels);
    evidence.notes.extend(notes);
    evidence.tell();
    write(&args.which, &policy)
}

type Labels = BTreeMap<String, String>;

fn chosen(selector: &[String]) -> anyhow::Result<Labels> {
    let pair = |text: &String| text.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
    selector.iter().map(|text| pair(text).with_context(|| format!("{text:?} is not KEY=VALUE"))).collect()
}

/// Labels by which a pod is the same after its next rollout.
fn steady(view: &View) -> Labels {
    let mut labels = view.identity.labels.clone();
    labels.retain(|key, _| !PASSING.contains(&key.as_str()));
    labels
}

struct Known<'a> {
    topology: &'a Topology,
    views: BTreeMap<&'a str, &'a View>,
}

/// Services, by who is talked to: protocol and port, 0 for any.
type Peers = BTreeMap<String, (Value, BTreeSet<(String, u16)>)>;

impl Known<'_> {
    fn policy(&self, me: &View, labels: &Labels) -> (Value, Vec<String>) {
        let (mut incoming, mut outgoing, mut notes) = (Peers::new(), Peers::new(), Vec::new());
        for edge in &self.topology.edges {
            let (peer, all) = match (edge.source == me.id, edge.target == me.id) {
                (true, false) => (&edge.target, &mut outgoing),
                (false, true) => (&edge.source, &mut incoming),
                _ => continue,
            };
            let Some(node) = self.topology.nodes.iter().find(|n| n.id == *peer) else { continue };
            if self.is_own(me, node) {
                continue;
            }
            if let Some(why) = unfit(edge) {
                notes.push(format!("left out: {} {}/{}: {why}", node.name, edge.port, edge.transport));
                continue;
            }
            match self.selector(me, node, &mut notes) {
                Some(selector) => {
                    let services =
                        &mut all.entry(selector.to_string()).or_insert((selector, BTreeSet::new())).1;
                    services.insert((edge.transport.to_uppercase(), edge.port));
                }
                None => notes
                    .push("left out: what is added up as others: raise the tracer's bound of flows".into()),
            }
        }
        if self.topology.truncated {
            notes.push("there were more flows than are looked at".into());
        }
        notes.sort();
        notes.dedup();
        (document(me, labels, &incoming, &outgoing), notes)
    }

    /// Of a pod's network, one of its containers.
    fn view(&self, node: &Node) -> Option<&View> {
        let pod = |view: &View| view.identity.pod.as_ref().map(|p| (p.namespace.clone(), p.name.clone()));
        let wanted = node.namespace.clone().zip(node.pod.clone());
        let of_pod = || self.views.values().find(|view| wanted.is_some() && pod(view) == wanted);
        self.views.get(node.id.as_str()).or_else(of_pod).copied()
    }

    /// Within the pod nothing is filtered.
    fn is_own(&self, me: &View, node: &Node) -> bool {
        let pod = |view: &View| view.identity.pod.as_ref().map(|p| (p.namespace.clone(), p.name.clone()));
        let same = |view: &&View| pod(view).is_some() && pod(view) == pod(me);
        let loopback = node.id.parse::<IpAddr>().is_ok_and(|a| a.is_loopback());
        loopback || self.view(node).as_ref().is_some_and(same)
    }

    /// None: nobody knows who it is.
    fn selector(&self, me: &View, node: &Node, notes: &mut Vec<String>) -> Option<Value> {
        let view = self.view(node);
        let labels = view.map(steady).unwrap_or_default();
        let namespace = |view: &View| view.identity.pod.as_ref().map(|p| p.namespace.clone());
        match (&node.kind, view.and_then(namespace)) {
            (Kind::Others, _) => None,
            (Kind::Container | Kind::Network, Some(theirs)) if !labels.is_empty() => {
                let mut selector = json!({ "podSelector": { "matchLabels": labels } });
                if namespace(me).as_ref() != Some(&theirs) {
                    selector["namespaceSelector"] = json!({ "matchLabels": { NAMESPACE: theirs } });
                }
                Some(selector)
            }
            (Kind::Container | Kind::Network, _) => {
                let address = node
                    .addresses
                    .iter()
                    .filter_map(|a| a.parse().ok())
                    .find(|a: &IpAddr| !a.is_loopback())?;
                notes.push(format!(
                    "{}: by its address {address}, since no label of its pod is known",
                    node.name
                ));
                Some(block(address))
            }
            (Kind::Peer, _) => Some(block(node.id.parse().ok()?)),
        }
    }
}

fn block(address: IpAddr) -> Value {
    let bits = if address.is_ipv4() { 32 } else { 128 };
    json!({ "ipBlock": { "cidr": format!("{address}/{bits}") } })
}

/// Why a policy cannot, or should not, allow it.
fn unfit(edge: &Edge) -> Option<&'static str> {
    if !matches!(edge.transport.as_str(), "tcp" | "udp" | "sctp") {
        return Some("policies know tcp, udp and sctp only");
    }
    let in_vain = edge.failures > 0 && edge.connections == 0 && edge.active == 0;
    in_vain.then_some("no connection was ever made")
}

fn document(me: &View, labels: &Labels, incoming: &Peers, outgoing: &Peers) -> Value {
    let rules = |peers: &Peers, to: &str| -> Vec<Value> {
        let port = |(protocol, port): &(String, u16)| match port {
            0 => json!({ "protocol": protocol }),
            port => json!({ "protocol": protocol, "port": port }),
        };
        let rule = |(peer, services): &(Value, BTreeSet<(String, u16)>)| json!({ to: [peer], "ports": services.iter().map(port).collect::<Vec<_>>() });
        peers.values().map(rule).collect()
    };
    let mut metadata = json!({ "name": object_name(&me.name) });
    if let Some(pod) = &me.identity.pod {
        metadata["namespace"] = json!(pod.namespace);
    }
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": {
            "podSelector": { "matchLabels": labels },
            "policyTypes": ["Ingress", "Egress"],
            "ingress": rules(incoming, "from"),
            "egress": rules(outgoing, "to"),
        }
    })
}

/// As RFC 1123 has labels.
fn object_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(plain).take(NAME_MAX).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "remora".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests;
