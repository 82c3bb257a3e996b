// The network map as a graph that can be drawn: services between the same two are one link, and many small outside peers of one
// container are one node.

// Outside peers of one container that are kept apart.
const PEERS = 8;

function weight(edge) {
  return edge.sent_bytes + edge.received_bytes;
}

// { nodes, links }: a link has { source, target, services, bytes, rate, failures, retransmits, roundTrip }.
export function graph(topology, before, passed) {
  const nodes = new Map(topology.nodes.map((node) => [node.id, { ...node, bytes: 0, failures: 0 }]));
  // An end that is in no list is still somebody.
  for (const { source, target } of topology.edges) {
    for (const id of [source, target]) if (!nodes.has(id)) nodes.set(id, { id, name: id, kind: 'peer', bytes: 0, failures: 0 });
  }
  const place = folded(topology, nodes);
  const links = new Map();
  const earlier = new Map((before?.edges ?? []).map((edge) => [keyOf(edge), weight(edge)]));
  for (const edge of topology.edges) {
    const [source, target] = [place(edge.source), place(edge.target)];
    const key = JSON.stringify([source, target]);
    const link = links.get(key) ?? { key, source, target, services: [], bytes: 0, rate: 0, failures: 0, retransmits: 0, active: 0, connections: 0, roundTrip: undefined };
    const grown = earlier.has(keyOf(edge)) && passed > 0 ? Math.max(0, weight(edge) - earlier.get(keyOf(edge))) / passed : 0;
    link.services.push({ ...edge, rate: grown });
    link.bytes += weight(edge);
    link.rate += grown;
    link.failures += edge.failures;
    link.retransmits += edge.retransmits;
    link.active += edge.active;
    link.connections += edge.connections;
    if (edge.round_trip !== undefined) link.roundTrip = Math.max(link.roundTrip ?? 0, edge.round_trip);
    links.set(key, link);
    for (const id of new Set([source, target])) {
      nodes.get(id).bytes += weight(edge);
      nodes.get(id).failures += edge.failures;
    }
  }
  const used = new Set([...links.values()].flatMap((link) => [link.source, link.target]));
  const shown = [...nodes.values()].filter((node) => node.kind === 'container' || used.has(node.id));
  return { nodes: shown, links: [...links.values()] };
}

function keyOf(edge) {
  return JSON.stringify([edge.source, edge.target, edge.transport, edge.port]);
}

// Where a node is drawn: the smallest of a container's peers that talk to nobody else share one place.
function folded(topology, nodes) {
  const ends = new Map();
  for (const edge of topology.edges) {
    for (const [id, other] of [[edge.source, edge.target], [edge.target, edge.source]]) {
      if (nodes.get(id).kind !== 'peer') continue;
      const entry = ends.get(id) ?? { id, others: new Set(), bytes: 0 };
      entry.others.add(other);
      entry.bytes += weight(edge);
      ends.set(id, entry);
    }
  }
  const lone = new Map();
  for (const entry of ends.values()) {
    if (entry.others.size !== 1) continue;
    const [owner] = entry.others;
    lone.set(owner, [...(lone.get(owner) ?? []), entry]);
  }
  const moved = new Map();
  for (const [owner, peers] of lone) {
    if (peers.length <= PEERS) continue;
    const rest = peers.sort((a, b) => b.bytes - a.bytes).slice(PEERS - 1);
    const id = `rest of ${owner}`;
    nodes.set(id, { id, kind: 'others', name: `${rest.length} more`, bytes: 0, failures: 0, members: rest.map((peer) => peer.id) });
    for (const peer of rest) moved.set(peer.id, id);
  }
  return (id) => moved.get(id) ?? id;
}

// What a link carries, in few words.
export function services(link) {
  const names = [...new Set(link.services.map(service))];
  return names.length > 2 ? `${names.slice(0, 2).join(', ')} +${names.length - 2}` : names.join(', ');
}

export function service(edge) {
  return edge.port ? `${edge.port}/${edge.transport}` : edge.transport;
}
