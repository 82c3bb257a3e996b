// A container's events, one line each, from its first program on.
import { useMemo, useState } from 'preact/hooks';
import { failure, summary, time } from '../event.js';
import { clock, count } from '../format.js';
import { html } from '../html.js';
import { Plot } from '../plot.js';
import { Empty, Search } from '../widgets.js';

const PAGE = 200;

export function Timeline({ story, version, sampler }) {
  const [search, setSearch] = useState('');
  const [off, setOff] = useState(new Set());
  const [newest, setNewest] = useState(false);
  const [frozen, setFrozen] = useState(undefined);
  const [shown, setShown] = useState(PAGE);
  const all = useMemo(() => story.events(), [story, version]);
  const events = frozen ?? all;
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (event) => !off.has(event.event.name) && (!words.length || words.every((word) => line(event).includes(word)));
  const found = events.filter(fits);
  const rows = newest ? found.slice(-shown).reverse() : found.slice(0, shown);
  const toggle = (name) => setOff((before) => {
    const next = new Set(before);
    if (!next.delete(name)) next.add(name);
    return next;
  });
  return html`
    <${Activity} story=${story} version=${version} />
    <div class="tools">
      <${Search} label="Search in events" value=${search} onInput=${setSearch} />
      <label class="check">Order <select value=${newest ? 'newest' : 'first'} onChange=${(e) => setNewest(e.target.value === 'newest')}>
        <option value="first">from the first on</option><option value="newest">newest first</option></select></label>
      <button type="button" aria-pressed=${Boolean(frozen)} onClick=${() => setFrozen(frozen ? undefined : all)}>${frozen ? 'Go on' : 'Hold still'}</button>
    </div>
    <div class="chips" role="group" aria-label="Kinds of events">${[...(sampler?.kinds ?? [])].map(([name, n]) => html`
      <button key=${name} type="button" class="chip" aria-pressed=${!off.has(name)} onClick=${() => toggle(name)}>${name} <span class="muted">${count(n)}</span></button>`)}</div>
    ${rows.length ? html`<ol class="events" aria-label="Events">${rows.map((event) => html`<${Line} key=${event.event.cursor} event=${event} first=${story.first} />`)}</ol>` : html`<${Empty}>${events.length ? 'No event is like that.' : 'No event yet.'}<//>`}
    ${found.length > shown && html`<p><button type="button" onClick=${() => setShown(shown + PAGE)}>Show ${count(Math.min(PAGE, found.length - shown))} more of ${count(found.length)}</button></p>`}`;
}

function line(event) {
  return `${event.event.name} ${event.process?.comm ?? ''} ${event.process?.pid ?? ''} ${summary(event)}`.toLowerCase();
}

function offset(ms) {
  return `+${(ms / 1000).toFixed(3)} s`;
}

function Line({ event, first }) {
  const [open, setOpen] = useState(false);
  const failed = failure(event);
  const { process } = event;
  return html`<li><details onToggle=${(e) => setOpen(e.target.open)}>
    <summary class=${failed ? 'failed' : ''}>
      <span class="at" title=${clock(time(event))}>${offset(time(event) - first)}</span>
      <span class="kind">${event.event.name}</span>
      <span class="who">${process ? `${process.comm} ${process.pid}` : ''}</span>
      <span class="what">${summary(event)}</span>
    </summary>
    ${open && html`<pre class="json" tabindex="0">${JSON.stringify(event, null, 2)}</pre>`}
  </details></li>`;
}

function Activity({ story, version }) {
  const { times, values } = useMemo(() => activity(story.seconds), [story, version]);
  if (times.length < 3) return null;
  return html`<${Plot} title="Events a second" unit="/s" times=${times} lines=${[{ label: 'looked at', values }]} height=${90} />`;
}

// Each second between the first and the last, the empty ones, too.
export function activity(seconds) {
  const all = [...seconds.keys()].sort((a, b) => a - b);
  if (!all.length) return { times: [], values: [] };
  const last = all.at(-1);
  const from = Math.max(all[0], last - 1800);
  const times = Array.from({ length: last - from + 1 }, (_, i) => from + i);
  return { times, values: times.map((second) => seconds.get(second) ?? 0) };
}
