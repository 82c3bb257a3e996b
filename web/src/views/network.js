// Who talks to whom on this node, drawn and as a table.
import { useRef, useState } from 'preact/hooks';
import { Drawing } from '../drawing.js';
import { bytes, count, plural, seconds, when } from '../format.js';
import { graph, service, services } from '../graph.js';
import { html } from '../html.js';
import { spoken } from '../layout.js';
import { usePoll } from '../poll.js';
import { link } from '../route.js';
import { json } from '../session.js';
import { Empty, Failure, Heading, Pill, Search, Table } from '../widgets.js';

const EVERY = 3000;

export function Network() {
  const before = useRef({});
  const { data, error } = usePoll(async (signal) => {
    const topology = await json('/v1/topology', { signal });
    const at = performance.now() / 1000;
    const drawn = graph(topology, before.current.topology, at - before.current.at);
    before.current = { topology, at };
    return { ...drawn, topology };
  }, EVERY, 'topology');
  const [chosen, setChosen] = useState(undefined);
  const [search, setSearch] = useState('');
  if (!data) return html`<${Heading} title="Network map">Network map<//><${Failure} error=${error} /><p class="empty" role="status">Looking …</p>`;
  const { nodes, links, topology } = data;
  const name = namer(nodes);
  const node = nodes.find((n) => n.id === chosen);
  const word = search.toLowerCase();
  const rows = links.flatMap((l) => l.services.map((s) => ({ ...s, from: name(l.source), to: name(l.target) })));
  const found = rows.filter((r) => (!node || touches(r, node)) && `${r.from} ${r.to} ${r.source} ${r.target} ${service(r)}`.toLowerCase().includes(word));
  const containers = nodes.filter((n) => n.kind === 'container').length;
  return html`
    <div class="head"><div><${Heading} title="Network map">Network map<//>
      <p class="lead">${plural(containers, 'container')}, ${plural(nodes.length - containers, 'other peer')}, ${plural(links.length, 'link')}. An arrow leads from who began to who was asked.</p></div></div>
    <${Failure} error=${error} />
    <${Remarks} topology=${topology} name=${name} />
    ${nodes.length ? html`<div class="map-and-panel"><${Drawing} title="Network map" nodes=${nodes} links=${links} chosen=${chosen} choose=${setChosen} words=${wordsFor(name)} />
      <${Panel} node=${node} links=${links} name=${name} choose=${setChosen} /></div>` : html`<${Empty}>No container is in scope.<//>`}
    ${rows.length > 0 && html`<section><h2>${node ? `Links of ${node.name}` : 'All links'}</h2>
      <div class="tools"><${Search} label="Search by name, address, service" value=${search} onInput=${setSearch} />
        ${node && html`<button type="button" onClick=${() => setChosen(undefined)}>All links</button>`}</div>
      <${Table} caption="Links" columns=${COLUMNS} rows=${found} keyOf=${(r) => `${r.source} ${r.target} ${service(r)}`} initial=${{ key: 'rate', down: true }} rowClass=${(r) => (r.failures ? 'failed' : '')} /></section>`}`;
}

function touches(row, node) {
  const ids = node.members ?? [node.id];
  return ids.includes(row.source) || ids.includes(row.target);
}

// Of several alike, with the beginning of their ids.
function namer(nodes) {
  const times = new Map();
  for (const node of nodes) times.set(node.name, (times.get(node.name) ?? 0) + 1);
  const names = new Map(nodes.map((n) => [n.id, times.get(n.name) > 1 ? `${n.name} (${n.id.slice(0, 12)})` : n.name]));
  return (id) => names.get(id) ?? id;
}

function Remarks({ topology, name }) {
  const unseen = topology.unseen ?? [];
  return html`
    ${topology.truncated && html`<p class="remark">There were more flows than are looked at: some are missing.</p>`}
    ${unseen.length > 0 && html`<p class="remark">No tracer keeps the flows of ${unseen.slice(0, 5).map(name).join(', ')}${unseen.length > 5 ? ` and ${unseen.length - 5} more` : ''}: they are seen from the other end at most. The group “default” has one that does.</p>`}`;
}

const COLUMNS = [
  { key: 'from', title: 'From', main: true, value: (r) => r.from },
  { key: 'to', title: 'To', main: true, value: (r) => r.to },
  { key: 'service', title: 'Service', value: service },
  { key: 'rate', title: 'Now', number: true, value: (r) => r.rate, cell: (r) => `${bytes(r.rate)}/s` },
  { key: 'bytes', title: 'Sent, received', number: true, wide: true, value: (r) => r.sent_bytes + r.received_bytes, cell: (r) => `${bytes(r.sent_bytes)}, ${bytes(r.received_bytes)}` },
  { key: 'connections', title: 'Connections', number: true, wide: true, value: (r) => r.connections, cell: (r) => `${count(r.connections)}${r.active ? `, ${count(r.active)} open` : ''}` },
  { key: 'rtt', title: 'Round trip', number: true, value: (r) => r.round_trip ?? 0, cell: (r) => (r.round_trip === undefined ? '' : seconds(r.round_trip)) },
  { key: 'errors', title: 'Failed, sent again', number: true, value: (r) => r.failures + r.retransmits, cell: (r) => `${count(r.failures)}, ${count(r.retransmits)}` },
  { key: 'seen', title: 'Seen by', wide: true, value: (r) => r.seen_by, cell: (r) => ({ both: 'both ends', source: 'who began', target: 'who was asked' })[r.seen_by] },
  { key: 'last', title: 'Last', number: true, wide: true, value: (r) => r.last, cell: (r) => (r.last ? when(Date.parse(r.last)) : '') },
];

// What the drawing says of nodes and links.
function wordsFor(name) {
  const kinds = { container: 'container', network: 'one of those in a network', peer: 'outside peer', others: 'peers not kept apart' };
  return {
    node: (node) => `${spoken(node, name(node.id))}, ${kinds[node.kind]}${node.failures ? `, ${node.failures} connections failed` : ''}`,
    about: (l) => `${name(l.source)} to ${name(l.target)}: ${services(l)}, ${bytes(l.bytes)}, ${bytes(l.rate)}/s${l.roundTrip === undefined ? '' : `, ${seconds(l.roundTrip)}`}${l.failures ? `, ${l.failures} failed` : ''}`,
    lines: (l, whole) => [services(l), whole && [flow(l), l.roundTrip !== undefined && seconds(l.roundTrip)].filter(Boolean).join(' · '), l.failures > 0 && `${count(l.failures)} failed`].filter(Boolean),
    thick: (l) => 1.2 + Math.min(6, Math.log2(1 + l.rate / 256) * 0.6),
    style: (l) => `${l.failures ? 'bad' : ''} ${l.rate ? 'busy' : ''}`,
  };
}

function Panel({ node, links, name, choose }) {
  if (!node) {
    const busiest = [...links].sort((a, b) => b.rate - a.rate || b.bytes - a.bytes).slice(0, 5);
    const failing = links.filter((l) => l.failures > 0);
    return html`<aside class="card panel" aria-label="Summary"><h2>Busiest</h2>
      <ul class="plain-list">${busiest.map((l) => html`<${Row} key=${l.key} l=${l} name=${name} choose=${choose} />`)}</ul>
      ${failing.length > 0 && html`<h2 class="bad-text">Failing</h2><ul class="plain-list">${failing.slice(0, 5).map((l) => html`<li key=${l.key}>${name(l.source)} → ${name(l.target)} <span class="muted">${services(l)}: ${count(l.failures)} of ${count(l.failures + l.connections)} failed</span></li>`)}</ul>`}
      <p class="muted small">Choose a node for more. Boxes are containers in scope, circles are addresses outside of it, or of several who share a network; a thicker arrow carries more now, a red one has failures.</p></aside>`;
  }
  const out = links.filter((l) => l.source === node.id);
  const into = links.filter((l) => l.target === node.id);
  return html`<aside class="card panel" aria-label=${`About ${node.name}`}>
    <div class="card-head"><h2>${node.name}</h2><button type="button" class="plain" aria-label="Close" onClick=${() => choose(undefined)}>✕</button></div>
    <p><${Pill} kind=${node.kind}>${{ container: 'container', network: 'shared network' }[node.kind] ?? 'outside'}<//> ${node.pod && html`<${Pill}>${node.namespace}/${node.pod}<//>`}</p>
    ${node.addresses?.length > 0 && html`<p class="muted">${node.addresses.join(', ')}</p>`}
    ${node.kind === 'container' && html`<p><a href=${link('containers', node.id)}>What it does</a></p>`}
    ${out.length > 0 && html`<h3>Asks</h3><ul class="plain-list">${out.map((l) => html`<${Row} key=${l.key} l=${l} name=${name} other="target" choose=${choose} />`)}</ul>`}
    ${into.length > 0 && html`<h3>Is asked by</h3><ul class="plain-list">${into.map((l) => html`<${Row} key=${l.key} l=${l} name=${name} other="source" choose=${choose} />`)}</ul>`}
  </aside>`;
}

// Now, or all that went there if nothing does now.
function flow(l) {
  return l.rate ? `${bytes(l.rate)}/s` : bytes(l.bytes);
}

function Row({ l, name, other, choose }) {
  const title = other ? name(l[other]) : `${name(l.source)} → ${name(l.target)}`;
  const rest = [services(l), flow(l), l.roundTrip !== undefined && seconds(l.roundTrip), l.failures > 0 && `${count(l.failures)} failed`].filter(Boolean).join(' · ');
  return html`<li><button type="button" class="as-link" onClick=${() => choose(l[other ?? 'source'])}>${title}</button> <span class="muted">${rest}</span></li>`;
}
