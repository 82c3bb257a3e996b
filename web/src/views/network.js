// Who talks to whom on this node, drawn and as a table.
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { bytes, count, plural, seconds, when } from '../format.js';
import { graph, service, services } from '../graph.js';
import { html } from '../html.js';
import { HEIGHT, arrange, box, label, path, pods, width } from '../layout.js';
import { usePoll } from '../poll.js';
import { link } from '../route.js';
import { json } from '../session.js';
import { Empty, Failure, Heading, Pill, Search, Table } from '../widgets.js';

const EVERY = 3000;
// Links that are labelled all at once, and with how much goes there.
const LABELS = 24;
const NUMBERS = 8;

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
    ${nodes.length ? html`<div class="map-and-panel"><${Drawing} nodes=${nodes} links=${links} chosen=${chosen} choose=${setChosen} name=${name} />
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

function Drawing({ nodes, links, chosen, choose, name }) {
  const places = useRef(new Map());
  const frame = useRef();
  const [size, setSize] = useState(undefined);
  const [view, setView] = useState({ zoom: 1, x: 0, y: 0 });
  useLayoutEffect(() => {
    const measure = () => setSize({ width: frame.current?.clientWidth || 600, height: frame.current?.clientHeight || 400 });
    const watch = new ResizeObserver(measure);
    watch.observe(frame.current);
    measure();
    return () => watch.disconnect();
  }, []);
  const shape = `${nodes.map((n) => n.id).join('\n')}\n\n${links.map((l) => l.key).join('\n')}`;
  const placed = useMemo(() => (size ? arrange({ nodes, links }, places.current, size) : []), [shape, nodes, Boolean(size)]);
  const at = new Map(placed.map((node) => [node.id, node]));
  const back = new Set(links.map((l) => `${l.target}\n${l.source}`));
  const near = new Set(links.filter((l) => l.source === chosen || l.target === chosen).flatMap((l) => [l.source, l.target]));
  const isNear = (l) => chosen === undefined || l.source === chosen || l.target === chosen;
  const b = viewed(box(placed, 60), view, size ?? { width: 600, height: 400 });
  const drag = useDrag(view, setView, frame, b);
  const order = [...placed].sort((n, m) => n.y - m.y || n.x - m.x);
  const first = chosen ?? order[0]?.id;
  const keys = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === 'Escape') choose(undefined);
    if (!step) return;
    event.preventDefault();
    const next = order[(order.findIndex((n) => n.id === first) + step + order.length) % order.length];
    choose(next.id);
    requestAnimationFrame(() => frame.current?.querySelector('.node[tabindex="0"]')?.focus());
  };
  return html`<div class="map" ref=${frame}>
    <svg viewBox=${`${b.x} ${b.y} ${b.width} ${b.height}`} role="group" aria-label="Network map; arrow keys go from node to node, and the table below says the same" onKeyDown=${keys} ...${drag}>
      <defs>${['', 'bad'].map((kind) => html`<marker key=${kind} id=${`arrow${kind}`} class="arrow ${kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0 L8,4 L0,8 z" /></marker>`)}</defs>
      ${pods(placed).map((pod) => html`<g key=${pod.name} class="pod"><rect x=${pod.x} y=${pod.y} width=${pod.width} height=${pod.height} rx="14" /><text x=${pod.x + 12} y=${pod.y - 6}>${pod.name}</text></g>`)}
      ${size && links.map((l) => html`<${Link} key=${l.key} l=${l} p=${path(at.get(l.source), at.get(l.target), back.has(`${l.source}\n${l.target}`))} faint=${!isNear(l)} labelled=${(links.length <= LABELS || chosen !== undefined) && isNear(l)} whole=${links.length <= NUMBERS || chosen !== undefined} name=${name} />`)}
      ${order.map((node) => html`<${Node} key=${node.id} node=${node} chosen=${node.id === chosen} faint=${chosen !== undefined && node.id !== chosen && !near.has(node.id)} tab=${node.id === first ? 0 : -1} choose=${choose} name=${name} />`)}
    </svg>
    <div class="zoom" role="group" aria-label="Size of the map">
      <button type="button" aria-label="Larger" onClick=${() => setView({ ...view, zoom: Math.min(view.zoom * 1.4, 12) })}>+</button>
      <button type="button" aria-label="Smaller" onClick=${() => setView({ ...view, zoom: Math.max(view.zoom / 1.4, 0.5) })}>−</button>
      <button type="button" aria-label="Whole map" onClick=${() => setView({ zoom: 1, x: 0, y: 0 })}>⤢</button>
    </div>
  </div>`;
}

// What of the plane is seen: all of it, no larger than it is, nearer and moved as somebody wanted.
function viewed(b, { zoom, x, y }, size) {
  const scale = Math.max(b.width / size.width, b.height / size.height, 0.8) / zoom;
  const [width, height] = [size.width * scale, size.height * scale];
  return { x: b.x + b.width / 2 - width / 2 + x, y: b.y + b.height / 2 - height / 2 + y, width, height };
}

function useDrag(view, setView, frame, b) {
  const from = useRef();
  return {
    onPointerDown: (e) => {
      from.current = { x: e.clientX, y: e.clientY, view };
    },
    onPointerMove: (e) => {
      if (!from.current || !(e.buttons & 1)) return;
      const scale = b.width / frame.current.clientWidth;
      setView({ ...view, x: from.current.view.x - (e.clientX - from.current.x) * scale, y: from.current.view.y - (e.clientY - from.current.y) * scale });
    },
    onPointerUp: () => {
      from.current = undefined;
    },
  };
}

function Link({ l, p, faint, labelled, whole, name }) {
  const bad = l.failures > 0;
  const thick = 1.2 + Math.min(6, Math.log2(1 + l.rate / 256) * 0.6);
  const about = `${name(l.source)} to ${name(l.target)}: ${services(l)}, ${bytes(l.bytes)}, ${bytes(l.rate)}/s${l.roundTrip === undefined ? '' : `, ${seconds(l.roundTrip)}`}${bad ? `, ${l.failures} failed` : ''}`;
  const lines = [services(l), whole && [flow(l), l.roundTrip !== undefined && seconds(l.roundTrip)].filter(Boolean).join(' · '), bad && `${count(l.failures)} failed`].filter(Boolean);
  return html`<g class="link ${bad ? 'bad' : ''} ${faint ? 'faint' : ''} ${l.rate ? 'busy' : ''}"><title>${about}</title>
    <path d=${p.d} stroke-width=${thick.toFixed(1)} marker-end=${`url(#arrow${bad ? 'bad' : ''})`} />
    ${labelled && html`<text x=${p.x} y=${p.y - (lines.length - 1) * 6}>${lines.map((text, i) => html`<tspan key=${i} x=${p.x} dy=${i ? 13 : 0} class=${text.endsWith(' failed') ? 'bad' : ''}>${text}</tspan>`)}</text>`}
  </g>`;
}

function Node({ node, chosen, faint, tab, choose, name }) {
  const w = width(node);
  const [shown, whole] = [label(node), name(node.id)];
  const words = { container: 'container', network: 'one of those in a network', peer: 'outside peer', others: 'peers not kept apart' };
  const pick = () => choose(chosen ? undefined : node.id);
  const key = (e) => {
    if (e.key !== 'Enter' && e.key !== ' ') return;
    e.preventDefault();
    pick();
  };
  return html`<g class="node ${node.kind} ${chosen ? 'chosen' : ''} ${faint ? 'faint' : ''} ${node.failures ? 'bad' : ''}" transform=${`translate(${node.x.toFixed(1)} ${node.y.toFixed(1)})`}
      tabindex=${tab} role="button" aria-pressed=${chosen} aria-label=${`${whole.includes(shown) ? whole : `${shown} (${whole})`}, ${words[node.kind]}${node.failures ? `, ${node.failures} connections failed` : ''}`} onClick=${pick} onKeyDown=${key}>
    <title>${node.name}</title>
    ${node.kind === 'container' ? html`<rect x=${-w / 2} y=${-HEIGHT / 2} width=${w} height=${HEIGHT} rx="9" />` : html`<circle r="9" />`}
    <text y=${node.kind === 'container' ? 4.5 : 25}>${shown}</text>
  </g>`;
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
