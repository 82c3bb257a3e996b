// What a container uses, as live plots.
import { useState } from 'preact/hooks';
import { known, others } from '../charts.js';
import { html } from '../html.js';
import { Plot } from '../plot.js';
import { Empty, Search } from '../widgets.js';

// Plots beyond what is known by name, at a time.
const MORE = 12;

export function Resources({ record, container }) {
  const [search, setSearch] = useState('');
  const main = known(record);
  const rest = others(record);
  const word = search.toLowerCase();
  const found = rest.filter((plot) => `${plot.title} ${plot.help ?? ''}`.toLowerCase().includes(word));
  if (container.state === 'ended') return html`<${Empty}>The container has ended, and what it used is no longer measured.<//>`;
  if (!main.length && !rest.length) return html`<${Empty}>${record.times.length ? 'No tracer of this container measures anything.' : 'Measuring …'}<//>`;
  return html`
    <p class="muted">Measured each 2 s since this page is open, ten minutes at most.</p>
    <div class="grid plots">${main.map((plot) => html`<section class="card" key=${plot.title}><${Plot} ...${plot} /></section>`)}</div>
    ${rest.length > 0 && html`<section><h2>All that its tracers measure</h2>
      <div class="tools"><${Search} label="Search by name or meaning" value=${search} onInput=${setSearch} />
        <span class="muted">${found.length > MORE ? `the first ${MORE} of ${found.length}` : `${found.length} of ${rest.length}`}</span></div>
      <div class="grid plots">${found.slice(0, MORE).map((plot) => html`<section class="card" key=${plot.title}><${Plot} ...${plot} height=${110} />${plot.help && html`<p class="muted small">${plot.help}</p>`}</section>`)}</div>
    </section>`}`;
}
