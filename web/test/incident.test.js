import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deeds, fits, graph, subjects, tags } from '../src/incident.js';
import { arrange, path } from '../src/layout.js';

const process = (id, pid, alarmed = false) => ({ id, kind: 'process', label: id, pid, alarmed });
const edge = (from, to, kind = 'executed', count = 1) => ({ from, to, kind, count });
const incident = (more = {}) => ({
  id: 'i-1', state: 'open', severity: 'high', title: 'sh executed /tmp/x', image: 'nginx', workload: 'web', rules: ['dropper'], tags: ['T1105', 'execution'],
  subjects: [{ container: { id: 'abc', name: 'web-1', image: { name: 'nginx' } }, k8s: { pod: { name: 'web-0' }, namespace: { name: 'shop' } } }],
  graph: { nodes: [process('a', 1), process('b', 2), { id: 'f', kind: 'file', label: '/tmp/x', alarmed: true }], edges: [edge('a', 'b'), edge('b', 'f', 'opened', 3), edge('b', 'f', 'changed')] },
  ...more,
});

test('what one did with another in several ways is one link', () => {
  const drawn = graph(incident());
  assert.deepEqual(drawn.links.map((l) => [l.source, l.target, l.acts.map((a) => a.kind)]), [['a', 'b', ['executed']], ['b', 'f', ['opened', 'changed']]]);
  assert.deepEqual(drawn.nodes.map((n) => [n.id, n.level, n.bad]), [['a', 0, false], ['b', 1, false], ['f', 2, true]]);
  assert.deepEqual(deeds(drawn).map((d) => [d.from, d.act, d.to, d.count]), [['a (1)', 'executed', 'b (2)', 1], ['b (2)', 'opened', '/tmp/x', 3], ['b (2)', 'changed', '/tmp/x', 1]]);
});

test('rings, ends in no list and those who did nothing have places', () => {
  const { nodes, links } = graph(incident({ graph: { nodes: [process('a', 1), process('b', 2), process('c', 3)], edges: [edge('a', 'b'), edge('b', 'a'), edge('a', 'nobody'), edge('c', 'c')] } }));
  assert.deepEqual(nodes.map((n) => n.level), [0, 1, 0]);
  assert.deepEqual(links.map((l) => [l.source, l.target]), [['a', 'b'], ['b', 'a'], ['c', 'c']]);
});

test('whoever began lies on the left', () => {
  const drawn = graph(incident());
  const at = new Map(arrange(drawn, new Map()).map((n) => [n.id, n]));
  assert(at.get('a').x < at.get('b').x && at.get('b').x < at.get('f').x);
  assert.doesNotMatch(path(at.get('a'), at.get('b'), false).d, /NaN/);
});

test('techniques are told from tactics', () => {
  assert.deepEqual(tags({ tags: ['T1059.004', 'execution', 'T1105', 'T10', 'mine'] }), { techniques: ['T1059.004', 'T1105'], words: ['execution', 'T10', 'mine'] });
});

test('containers are named as far as they are known', () => {
  assert.deepEqual(subjects(incident()), [{ id: 'abc', name: 'web-1', image: 'nginx', pod: 'shop/web-0' }]);
  assert.deepEqual(subjects({ subjects: [{ container: { id: 'x' } }, {}] }).map((s) => [s.id, s.name, s.pod]), [['x', 'x', undefined], ['', '', undefined]]);
});

test('incidents are found by severity, state and words', () => {
  const all = { search: '', least: 'info', over: true };
  assert(fits(incident(), all) && fits(incident(), { ...all, search: 'SHOP/web t1105' }) && fits(incident(), { ...all, least: 'high' }));
  assert(!fits(incident(), { ...all, least: 'critical' }) && !fits(incident(), { ...all, search: 'db' }));
  assert(!fits(incident({ state: 'over' }), { ...all, over: false }));
});
