import assert from 'node:assert/strict';
import { test } from 'node:test';
import { graph, services } from '../src/graph.js';
import { arrange, pods } from '../src/layout.js';

const node = (id, kind = 'container', more = {}) => ({ id, kind, name: id, ...more });
const edge = (source, target, port = 80, more = {}) => ({ source, target, transport: 'tcp', port, connections: 1, failures: 0, active: 0, sent_bytes: 10, received_bytes: 90, retransmits: 0, ...more });

test('services between the same two are one link', () => {
  const { links } = graph({ nodes: [node('a'), node('b')], edges: [edge('a', 'b', 80), edge('a', 'b', 443, { failures: 2, round_trip: 0.2 }), edge('b', 'a', 1)] });
  assert.deepEqual(links.map((l) => [l.source, l.target, services(l), l.bytes, l.failures, l.roundTrip]), [['a', 'b', '80/tcp, 443/tcp', 200, 2, 0.2], ['b', 'a', '1/tcp', 100, 0, undefined]]);
});

test('what goes now is what came since', () => {
  const before = { nodes: [node('a'), node('b')], edges: [edge('a', 'b')] };
  const after = { ...before, edges: [edge('a', 'b', 80, { received_bytes: 490 }), edge('a', 'b', 81)] };
  const [link] = graph(after, before, 2).links;
  assert.equal(link.rate, 200);
  assert.equal(graph(after, undefined, NaN).links[0].rate, 0);
});

test('many small peers of one container are one place, and no end is blank', () => {
  const peers = Array.from({ length: 40 }, (_, i) => node(`10.0.0.${i}`, 'peer'));
  const edges = peers.map((p, i) => edge('a', p.id, 80, { sent_bytes: i }));
  const { nodes, links } = graph({ nodes: [node('a'), node('b'), ...peers], edges: [...edges, edge('b', '10.0.0.3'), edge('b', 'nobody listed')] });
  const ids = new Set(nodes.map((n) => n.id));
  assert(links.every((l) => ids.has(l.source) && ids.has(l.target)));
  const rest = nodes.find((n) => n.kind === 'others');
  assert.equal(rest.members.length, 32);
  assert(ids.has('10.0.0.3') && ids.has('10.0.0.39') && !ids.has('10.0.0.5'));
  assert.equal(links.reduce((sum, l) => sum + l.services.length, 0), 42);
});

test('nodes have places of their own, and keep them', () => {
  const all = { nodes: Array.from({ length: 220 }, (_, i) => node(`c${i}`, 'container', i % 4 ? {} : { pod: 'p', namespace: 'n' })), links: [] };
  all.links = all.nodes.slice(1).map((n, i) => ({ source: all.nodes[Math.floor(i / 3)].id, target: n.id }));
  const places = new Map();
  const first = arrange(all, places);
  assert(first.every((n) => Number.isFinite(n.x) && Number.isFinite(n.y)));
  assert.equal(new Set(first.map((n) => `${Math.round(n.x)} ${Math.round(n.y)}`)).size, 220);
  const again = arrange(all, places);
  assert.deepEqual(again.map((n) => [n.x, n.y]), first.map((n) => [n.x, n.y]));
  assert.deepEqual(pods(first).map((p) => p.name), ['n/p']);
});
