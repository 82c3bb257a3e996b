// Incidents: what was told, the latest first.
import { useState } from 'preact/hooks';
import { count, plural, when } from '../format.js';
import { html } from '../html.js';
import { SEVERITIES, colour, fits, rank, subjects, tags } from '../incident.js';
import { useJson } from '../poll.js';
import { link } from '../route.js';
import { Empty, Failure, Heading, Pill, Search, Table } from '../widgets.js';

const EVERY = 2000;

export function Alerts() {
  const { data, error } = useJson('/v1/alerts', EVERY);
  const [search, setSearch] = useState('');
  const [least, setLeast] = useState('info');
  const [over, setOver] = useState(true);
  if (!data) return html`<${Heading} title="Alerts">Alerts<//><${Failure} error=${error} />${!error && html`<p class="empty" role="status">Looking …</p>`}`;
  const open = data.filter((i) => i.state === 'open').length;
  const rows = data.filter((i) => fits(i, { search, least, over }));
  return html`
    <div class="head">
      <div><${Heading} title="Alerts">Alerts<//>
        <p class="lead">${plural(open, 'open incident')}, ${count(data.length - open)} over.</p></div>
      <div class="tools">
        <${Search} label="Search by title, container, rule, tag" value=${search} onInput=${setSearch} />
        <label class="check">from <select value=${least} onChange=${(e) => setLeast(e.target.value)}>
          ${SEVERITIES.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select> on</label>
        <label class="check"><input type="checkbox" checked=${over} onChange=${(e) => setOver(e.target.checked)} /> those that are over, too</label>
      </div>
    </div>
    <${Failure} error=${error} />
    ${rows.length ? html`<${Table} caption="Incidents" columns=${COLUMNS} rows=${rows} keyOf=${(i) => i.id} initial=${{ key: 'last', down: true }} rowClass=${(i) => (i.state === 'over' ? 'past' : '')} />`
    : data.length ? html`<${Empty}>No incident is like that.<//>` : html`<${Quiet} />`}`;
}

function Quiet() {
  return html`<section class="card narrow"><h2>Nothing is worth telling</h2>
    <p>Rules and learned profiles look at what containers do; what belongs together becomes one incident, and is told once it weighs enough.</p>
    <p><code>remora rules list</code> says what is looked for, <code>remora profile list</code> what is known of each image.</p></section>`;
}

const COLUMNS = [
  { key: 'severity', title: 'Severity', value: (i) => rank(i.severity), cell: (i) => html`<${Pill} kind=${colour(i.severity)}>${i.severity}<//>` },
  { key: 'title', title: 'What happened', main: true, value: (i) => i.title, cell: (i) => html`<a href=${link('alerts', i.id)}>${i.title}</a><span class="under">${[...subjects(i).map((s) => s.pod ?? s.name), i.state === 'over' && 'over'].filter(Boolean).join(', ')}</span>` },
  { key: 'score', title: 'Score', number: true, wide: true, value: (i) => i.score, cell: (i) => i.score.toFixed(0) },
  { key: 'alarms', title: 'Alarms', number: true, wide: true, value: (i) => i.alarms_total, cell: (i) => count(i.alarms_total) },
  { key: 'tags', title: 'ATT&CK', wide: true, value: (i) => i.tags.join(), cell: (i) => html`<span class="words">${tags(i).techniques.join(', ')}</span>` },
  { key: 'state', title: 'State', wide: true, value: (i) => i.state, cell: (i) => (i.state === 'open' ? html`<${Pill} kind="warn">open<//>` : 'over') },
  { key: 'last', title: 'Last', number: true, value: (i) => i.last, cell: (i) => when(Date.parse(i.last)) },
];
