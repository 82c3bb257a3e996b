// Whom a container talks to, where it listens, and which names it asks for.
import { useMemo } from 'preact/hooks';
import { endpoint } from '../event.js';
import { bytes, clock, count, seconds, when } from '../format.js';
import { html } from '../html.js';
import { useTables } from '../tables.js';
import { Empty, Table } from '../widgets.js';

export function Connections({ container, target, story, version }) {
  const { flows, listening } = useTables(target, container);
  const names = useMemo(() => story.names.values(), [story, version]);
  const peers = useMemo(() => story.peers.values(), [story, version]);
  return html`
    <section><h2>Peers</h2>
      ${flows?.length ? html`<${Table} caption="Peers" columns=${FLOWS} rows=${flows} keyOf=${flowKey} initial=${{ key: 'sent', down: true }} rowClass=${(r) => (r.flows.failures ? 'failed' : '')} />`
    : peers.length ? html`<p class="remark">From events: no tracer of this container keeps flows, so bytes are not known.</p><${Table} caption="Peers" columns=${PEERS} rows=${peers} keyOf=${(p) => `${p.address} ${p.kind}`} initial=${{ key: 'events', down: true }} rowClass=${(p) => (p.failures ? 'failed' : '')} />`
      : html`<${Empty}>Nobody was seen to talk with it.<//>`}
    </section>
    <section><h2>Listening</h2>
      ${listening?.length ? html`<${Table} caption="Listening sockets" columns=${LISTENING} rows=${listening} keyOf=${(r) => `${endpoint(r.network.local)} ${r.network.transport}`} />` : html`<${Empty}>No listening socket is known.<//>`}
    </section>
    ${names.length > 0 && html`<section><h2>Names asked for</h2>
      <${Table} caption="Names asked for" columns=${NAMES} rows=${names} keyOf=${(n) => n.name} initial=${{ key: 'events', down: true }} /></section>`}`;
}

function flowKey(row) {
  return [row.flows.direction, row.network?.transport, row.network?.local?.address, row.network?.peer?.address, row.server?.port].join(' ');
}

const ARROWS = { outgoing: '→ out', incoming: '← in', unknown: '?' };

const FLOWS = [
  { key: 'peer', title: 'Peer', main: true, value: (r) => r.network?.peer?.address ?? 'others', cell: (r) => html`<code>${r.network?.peer?.address ?? 'others, added up'}</code>` },
  { key: 'direction', title: 'Who began', value: (r) => r.flows.direction, cell: (r) => ARROWS[r.flows.direction] ?? r.flows.direction },
  { key: 'service', title: 'Service', value: (r) => r.server?.port ?? 0, cell: (r) => `${r.server?.port ?? '?'}/${r.network?.transport ?? '?'}` },
  { key: 'connections', title: 'Connections', number: true, wide: true, value: (r) => r.flows.connections ?? 0, cell: (r) => count(r.flows.connections ?? 0) },
  { key: 'active', title: 'Open', number: true, wide: true, value: (r) => r.flows.active ?? 0 },
  { key: 'failures', title: 'Failed', number: true, value: (r) => r.flows.failures ?? 0, cell: (r) => count(r.flows.failures ?? 0) },
  { key: 'sent', title: 'Sent', number: true, value: (r) => r.flows.sent, cell: (r) => bytes(r.flows.sent) },
  { key: 'received', title: 'Received', number: true, value: (r) => r.flows.received, cell: (r) => bytes(r.flows.received) },
  { key: 'rtt', title: 'Round trip', number: true, wide: true, value: (r) => r.flows.round_trip ?? 0, cell: (r) => (r.flows.round_trip ? seconds(r.flows.round_trip) : '') },
  { key: 'last', title: 'Last', number: true, wide: true, value: (r) => r.flows.last, cell: (r) => when(Date.parse(r.flows.last)) },
];

const PEERS = [
  { key: 'peer', title: 'Peer', main: true, value: (p) => p.address, cell: (p) => html`<code>${p.address}</code>` },
  { key: 'kind', title: 'Event', value: (p) => p.kind },
  { key: 'port', title: 'Port', number: true, value: (p) => p.port ?? 0, cell: (p) => p.port ?? '' },
  { key: 'events', title: 'Times', number: true, value: (p) => p.events, cell: (p) => count(p.events) },
  { key: 'failures', title: 'Failed', number: true, value: (p) => p.failures, cell: (p) => (p.failures ? `${count(p.failures)} ${p.failure}` : '') },
  { key: 'last', title: 'Last', number: true, wide: true, value: (p) => p.last, cell: (p) => clock(p.last) },
];

const LISTENING = [
  { key: 'at', title: 'Address', main: true, value: (r) => endpoint(r.network.local), cell: (r) => html`<code>${endpoint(r.network.local)}</code>` },
  { key: 'transport', title: 'Transport', value: (r) => r.network.transport },
  { key: 'by', title: 'By', value: (r) => `${r.process?.comm ?? ''} ${r.process?.pid ?? ''}` },
  { key: 'waiting', title: 'Waiting', number: true, wide: true, value: (r) => r.listening?.waiting ?? 0 },
  { key: 'since', title: 'Since', number: true, wide: true, value: (r) => r.listening?.since ?? '', cell: (r) => (r.listening?.since ? when(Date.parse(r.listening.since)) : '') },
];

const NAMES = [
  { key: 'name', title: 'Name', main: true, value: (n) => n.name, cell: (n) => html`<code>${n.name}</code>` },
  { key: 'types', title: 'Types', value: (n) => [...n.types].join(', ') },
  { key: 'events', title: 'Times', number: true, value: (n) => n.events, cell: (n) => count(n.events) },
  { key: 'rcode', title: 'Result', value: (n) => n.rcode ?? 'no answer yet' },
  { key: 'answers', title: 'Last answer', wide: true, value: (n) => n.answers.join(', ') },
];
