// The tracers there are: what each tells, and switches for all containers.
import { useState } from 'preact/hooks';
import { plural } from '../format.js';
import { html } from '../html.js';
import { useJson } from '../poll.js';
import { link } from '../route.js';
import { ask } from '../session.js';
import { Failure, Heading, Pill, Search } from '../widgets.js';

const EVERY = 3000;

export function Tracers({ changes, wanted }) {
  const { data, error } = useJson('/v1/tracers', EVERY);
  const [search, setSearch] = useState('');
  const [failure, setFailure] = useState(undefined);
  const word = search.toLowerCase();
  const found = (data ?? []).filter((t) => (wanted ? t.name === wanted : `${t.name} ${t.help} ${t.groups.join(' ')}`.toLowerCase().includes(word)));
  const turn = (name, on) => {
    setFailure(undefined);
    ask(`/v1/tracers/${encodeURIComponent(name)}/${on ? 'start' : 'stop'}`, { method: 'POST' }).catch(setFailure);
  };
  return html`
    <div class="head"><div>
      ${wanted && html`<p class="crumb"><a href=${link('tracers')}>Tracers</a></p>`}
      <${Heading} title=${wanted ?? 'Tracers'}>${wanted ?? 'Tracers'}<//>
      ${!wanted && html`<p class="lead">What can be looked at. A tracer costs nothing while no container uses it.</p>`}
      ${!changes && html`<p class="remark">This page only reads. <code>sudo remora web --changes</code> has switches here.</p>`}
    </div>
    ${!wanted && html`<div class="tools"><${Search} label="Search by name or meaning" value=${search} onInput=${setSearch} /></div>`}</div>
    <${Failure} error=${failure ?? error} />
    <div class="grid">${found.map((tracer) => html`<${Tracer} key=${tracer.name} tracer=${tracer} whole=${Boolean(wanted)} turn=${changes ? turn : undefined} />`)}</div>
    ${wanted && found.map((tracer) => html`<${Details} key=${tracer.name} tracer=${tracer} />`)}`;
}

function Tracer({ tracer: t, turn, whole }) {
  const on = t.state !== 'stopped';
  const kinds = { attached: 'good', failed: 'bad', stopped: 'warn' };
  return html`<section class="card">
    <div class="card-head"><h2>${whole ? t.name : html`<a href=${link('tracers', t.name)}>${t.name}</a>`} <${Pill} kind=${kinds[t.state]}>${t.state}<//></h2>
      ${turn && t.state !== 'failed' && html`<button type="button" role="switch" class="switch" aria-checked=${on} aria-label=${`Tracer ${t.name} for all containers`} onClick=${() => turn(t.name, !on)}></button>`}</div>
    <p>${t.help}</p>
    ${t.problem && html`<p class="problem">${t.problem}</p>`}
    ${t.stopped && html`<p class="remark">${t.stopped}</p>`}
    <p class="muted">${[t.groups.length && `in ${t.groups.join(', ')}`, `used by ${plural(t.containers, 'container')}`, plural(t.events.length, 'kind of event', 'kinds of events'), plural(t.metrics.length, 'metric')].filter(Boolean).join(' · ')}</p>
  </section>`;
}

function Details({ tracer: t }) {
  return html`<section><h2>Events</h2>${t.events.map((event) => html`<details key=${event.name}><summary><b>${event.name}</b> <span class="muted">${event.help}</span></summary>
      <dl class="facts">${event.fields.map((field) => html`<div key=${field.name}><dt><code>${field.name}</code></dt><dd>${field.help}</dd></div>`)}</dl></details>`)}
      ${!t.events.length && html`<p class="empty">None: it only measures.</p>`}</section>
    <section><h2>Metrics</h2><dl class="facts">${t.metrics.map((metric) => html`<div key=${metric.name}><dt><code>${metric.name}</code></dt><dd>${metric.help}</dd></div>`)}</dl></section>
    ${t.params.length > 0 && html`<section><h2>Parameters</h2><dl class="facts">${t.params.map((param) => html`<div key=${param.name}><dt><code>${param.name}</code></dt><dd>${param.help}</dd></div>`)}</dl></section>`}
    <section><h2>Programs this kernel took</h2><p>${t.chosen.length ? html`<code>${t.chosen.join(', ')}</code>` : 'It is not loaded.'}</p></section>`;
}
