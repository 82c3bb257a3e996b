// All containers, with what is known of each and how complete that is.
import { useRef, useState } from 'preact/hooks';
import { brief, count, plural, short, span } from '../format.js';
import { html } from '../html.js';
import { useJson } from '../poll.js';
import { link } from '../route.js';
import { Empty, Failure, Heading, Pill, Search, Table, useNow } from '../widgets.js';
import { account, totals } from '../ledger.js';

const EVERY = 2000;

export function Containers() {
  const { data, error } = useJson('/v1/containers', EVERY);
  const [search, setSearch] = useState('');
  const [ended, setEnded] = useState(false);
  const now = useNow();
  const rates = useRates(data);
  if (!data) return html`<${Heading} title="Containers">Containers<//><${Failure} error=${error} /><p class="empty" role="status">Looking …</p>`;
  const running = data.filter((c) => c.state !== 'ended');
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (c) => words.every((word) => text(c).includes(word));
  const rows = (ended ? data : running).filter(fits);
  return html`
    <div class="head">
      <div><${Heading} title="Containers">Containers<//>
        <p class="lead">${plural(running.length, 'container')} in scope, ${count(data.length - running.length)} ended lately.</p></div>
      <div class="tools">
        <${Search} label="Search by name, image, pod, tracer" value=${search} onInput=${setSearch} />
        <label class="check"><input type="checkbox" checked=${ended} onChange=${(e) => setEnded(e.target.checked)} /> ended ones, too</label>
      </div>
    </div>
    <${Failure} error=${error} />
    ${rows.length ? html`<${Table} caption="Containers" columns=${columns(rates, now)} rows=${rows} keyOf=${generation} initial=${{ key: 'rate', down: true }} rowClass=${(c) => (c.state === 'ended' ? 'past' : '')} />` : html`<${Nobody} any=${data.length > 0} searching=${words.length > 0} />`}`;
}

function Nobody({ any, searching }) {
  if (searching) return html`<${Empty}>No container has all these words.<//>`;
  return html`<section class="card narrow"><h2>${any ? 'Nothing runs in scope now' : 'No container is in scope yet'}</h2>
    <p>A container opts in with an annotation or a label before it starts:</p>
    <pre>podman run --annotation io.remora.trace=default …</pre>
    <p>Or put any command into a scope of its own: <code>remora run --trace default -- COMMAND</code></p></section>`;
}

function generation(c) {
  return `${c.id} ${c.cgroup_id} ${c.ledger.observed_from}`;
}

function text(c) {
  const { image_name: image, pod } = c.identity;
  return [c.name, c.id, image, pod?.name, pod?.namespace, c.state, ...c.tracers].join(' ').toLowerCase();
}

// Events a second, from how the ledgers grew since they were last asked for.
function useRates(data) {
  const kept = useRef({ data: undefined, at: 0, counts: new Map(), rates: new Map() });
  const last = kept.current;
  if (data && data !== last.data) {
    const at = performance.now() / 1000;
    const counts = new Map(data.map((c) => [generation(c), totals(c.ledger).counted]));
    const rate = ([key, n]) => [key, last.counts.has(key) ? Math.max(0, n - last.counts.get(key)) / (at - last.at) : undefined];
    kept.current = { data, at, counts, rates: new Map([...counts].map(rate)) };
  }
  return kept.current.rates;
}

function columns(rates, now) {
  const since = (c) => Date.parse(c.ledger.observed_from);
  const until = (c) => (c.ledger.observed_to ? Date.parse(c.ledger.observed_to) : now);
  const rate = (c) => rates.get(generation(c)) ?? 0;
  return [
    { key: 'name', title: 'Container', main: true, value: (c) => c.name, cell: (c) => html`<${Name} c=${c} />` },
    { key: 'state', title: 'State', wide: true, value: (c) => c.state, cell: (c) => html`<${Pill} kind=${c.state}>${c.state}<//>` },
    { key: 'age', title: 'Seen for', number: true, wide: true, value: (c) => until(c) - since(c), cell: (c) => span((until(c) - since(c)) / 1000) },
    { key: 'rate', title: 'Events/s', number: true, value: rate, cell: (c) => (c.state === 'ended' ? '' : short(rate(c))) },
    { key: 'events', title: 'Events', number: true, wide: true, value: (c) => totals(c.ledger).counted, cell: (c) => count(totals(c.ledger).counted) },
    { key: 'account', title: 'Account', value: (c) => account(c.ledger).rank, cell: (c) => html`<${Pill} kind=${account(c.ledger).kind}>${account(c.ledger).word}<//>` },
    { key: 'tracers', title: 'Tracers', wide: true, value: (c) => c.tracers.length, cell: (c) => html`<span class="words">${c.tracers.join(', ') || 'none'}</span>` },
  ];
}

function Name({ c }) {
  const { image_name: image, pod } = c.identity;
  const below = [pod && `${pod.namespace}/${pod.name}`, image || (c.name === c.id ? '' : brief(c.id))].filter(Boolean).join(' · ');
  return html`<a href=${link('containers', c.id)}>${c.name}</a>${below && html`<span class="under">${below}</span>`}`;
}
