// How complete the account of a container is, what was switched, and switches for its tracers.
import { useState } from 'preact/hooks';
import { count, when } from '../format.js';
import { html } from '../html.js';
import { lost } from '../ledger.js';
import { useJson } from '../poll.js';
import { ask } from '../session.js';
import { Empty, Facts, Failure, Table } from '../widgets.js';

const REASONS = [['lost_full', 'ring was full'], ['lost_share', 'its share was used'], ['lost_other', 'a map was full'], ['lost_budget', 'beyond its budget']];

export function Ledger({ container, target, changes }) {
  const { ledger } = container;
  const rows = Object.entries(ledger.tracers).map(([name, counts]) => ({ name, ...counts }));
  return html`
    <section><h2>Observed</h2><${Facts} facts=${[
    ['From', when(Date.parse(ledger.observed_from))],
    ['To', ledger.observed_to ? when(Date.parse(ledger.observed_to)) : 'now'],
    ['Late', ledger.late ?? 'no: from its first program on'],
    ['Its end was told by', ledger.end?.join(', ')],
    ['Cgroup', html`<code>${container.cgroup_path}</code>`],
    ['Id', html`<code>${container.id}</code>`],
  ]} /></section>
    <section><h2>Events by tracer</h2>
      ${rows.length ? html`<${Table} caption="Events by tracer" columns=${COLUMNS} rows=${rows} keyOf=${(r) => r.name} rowClass=${(r) => (lost(r) ? 'failed' : '')} />` : html`<${Empty}>It has had no tracer.<//>`}</section>
    ${ledger.notes?.length > 0 && html`<section><h2>Notes</h2><ul class="plain-list">${ledger.notes.map((note) => html`<li key=${note}>${note}</li>`)}</ul></section>`}
    ${container.state !== 'ended' && html`<${Switches} container=${container} target=${target} changes=${changes} />`}
    ${ledger.changes?.length > 0 && html`<section><h2>What was switched</h2><ul class="plain-list">${[...ledger.changes].reverse().map((change, i) => html`<li key=${i}><span class="muted">${when(Date.parse(change.at))}</span> <b>${change.tracer}</b> ${change.change}</li>`)}</ul></section>`}`;
}

const COLUMNS = [
  { key: 'name', title: 'Tracer', main: true, value: (r) => r.name },
  { key: 'counted', title: 'Counted', number: true, value: (r) => r.counted, cell: (r) => count(r.counted) },
  { key: 'delivered', title: 'Delivered', number: true, value: (r) => r.delivered, cell: (r) => count(r.delivered) },
  { key: 'lost', title: 'Lost', number: true, value: lost, cell: (r) => count(lost(r)) },
  { key: 'why', title: 'Why', value: lost, cell: (r) => REASONS.filter(([key]) => r[key]).map(([key, why]) => `${why}: ${count(r[key])}`).join(', ') },
];

// On and off for this container alone.
function Switches({ container, target, changes }) {
  const { data, error } = useJson('/v1/tracers', 5000);
  const [failure, setFailure] = useState(undefined);
  const [busy, setBusy] = useState('');
  const turn = async (name, on) => {
    setBusy(name);
    setFailure(undefined);
    await ask(`${target}/tracers/${encodeURIComponent(name)}`, { method: on ? 'PUT' : 'DELETE' }).catch(setFailure);
    setBusy('');
  };
  return html`<section><h2>Tracers of this container</h2>
    ${!changes && html`<p class="remark">This page only reads. <code>sudo remora web --changes</code> has switches here.</p>`}
    <${Failure} error=${failure ?? error} />
    <ul class="switches">${(data ?? []).filter((t) => t.state !== 'failed').map((tracer) => {
    const on = container.tracers.includes(tracer.name);
    return html`<li key=${tracer.name}>
      <button type="button" role="switch" class="switch" aria-checked=${on} aria-label=${`Tracer ${tracer.name} for this container`} disabled=${!changes || busy === tracer.name} onClick=${() => turn(tracer.name, !on)}></button>
      <div><b>${tracer.name}</b> <span class="muted">${tracer.help}</span></div></li>`;
  })}</ul></section>`;
}
