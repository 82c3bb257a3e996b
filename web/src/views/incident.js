// One incident: what happened, drawn, in order, and how much of it could be seen.
import { useMemo, useState } from 'preact/hooks';
import { Drawing } from '../drawing.js';
import { command } from '../event.js';
import { clock, count, plural, when } from '../format.js';
import { html } from '../html.js';
import { colour, deeds, graph, rank, subjects, tags, title } from '../incident.js';
import { spoken } from '../layout.js';
import { useJson } from '../poll.js';
import { link } from '../route.js';
import { Empty, Facts, Failure, Heading, Pill, Table } from '../widgets.js';

const EVERY = 3000;

export function Incident({ id }) {
  const { data: i, error } = useJson(`/v1/alerts/${encodeURIComponent(id)}`, EVERY);
  const crumb = html`<p class="crumb"><a href=${link('alerts')}>Alerts</a></p>`;
  if (!i) return html`${crumb}<${Heading} title=${id}>${id}<//><${Failure} error=${error} />${!error && html`<p class="empty" role="status">Looking …</p>`}`;
  return html`
    <div class="head"><div>${crumb}<${Heading} title=${i.title}>${i.title}<//>
      <p class="lead"><${Pill} kind=${colour(i.severity)}>${i.severity}<//> <${Pill} kind=${i.state === 'open' ? 'warn' : ''}>${i.state}<//> <${Account} ledger=${i.ledger} /></p></div></div>
    <${Failure} error=${error} />
    <div class="grid two"><section class="card"><h2>What happened</h2><p class="story">${i.text}</p></section>
      <section class="card"><h2>In short</h2><${Short} i=${i} /></section></div>
    <${Graph} i=${i} />
    <section><h2>In order</h2><${Timeline} moments=${i.timeline} /></section>
    <section><h2>${plural(i.alarms_total, 'alarm')}</h2>${i.alarms.map((alarm) => html`<${Alarm} key=${alarm.id} alarm=${alarm} />`)}</section>`;
}

// Whether everything could be seen.
function Account({ ledger: { complete, lost } }) {
  return complete ? html`<${Pill} kind="good">account complete<//>` : html`<${Pill} kind="bad">${count(lost)} events lost<//>`;
}

function Short({ i }) {
  const { techniques, words } = tags(i);
  const pills = (all) => all.length > 0 && html`<span class="chips">${all.map((tag) => html`<${Pill} key=${tag}>${tag}<//>`)}</span>`;
  return html`<${Facts} facts=${[
    ['Containers', html`<ul class="plain-list">${subjects(i).map((s) => html`<li key=${s.id}><a href=${link('containers', s.id)}>${s.name}</a> <span class="muted">${[s.pod, s.image].filter(Boolean).join(' · ')}</span></li>`)}</ul>`],
    ['First', when(Date.parse(i.first))],
    ['Last', when(Date.parse(i.last))],
    ['Over', i.over && when(Date.parse(i.over))],
    ['Score', i.score.toFixed(1)],
    ['Techniques', pills(techniques) || undefined],
    ['Tactics', pills(words) || undefined],
    ['Rules', i.rules.join(', ')],
    ['Events lost', i.ledger.complete ? 'none' : html`<b class="bad-text">${count(i.ledger.lost)}</b>: something may be missing here`],
    ['Left out here', i.ledger.left_out ? count(i.ledger.left_out) : undefined],
  ]} />`;
}

// What is drawn, in words: for a screen reader, and on the links.
const WORDS = {
  node: (n) => `${spoken(n, title(n))}, ${n.kind}${n.bad ? ', an alarm speaks of it' : ''}`,
  about: (l) => l.acts.map(({ kind, count: n }) => `${kind} ${count(n)} ×`).join(', '),
  lines: (l, whole) => [l.acts.slice(0, 3).map(({ kind, count: n }) => (whole && n > 1 ? `${kind} ${count(n)} ×` : kind)).join(', ')],
  thick: (l) => 1.2 + Math.min(4, Math.log2(l.acts.reduce((sum, act) => sum + act.count, 1)) * 0.4),
  style: () => '',
};

function Graph({ i }) {
  // The same as long as the incident is, however often it is asked for.
  const drawn = useMemo(() => graph(i), [JSON.stringify(i.graph)]);
  const [chosen, setChosen] = useState(undefined);
  const node = drawn.nodes.find((n) => n.id === chosen);
  const rows = deeds(drawn).filter((d) => !node || d.source === node.id || d.target === node.id);
  if (!drawn.nodes.length) return null;
  return html`<section><h2>Who did what</h2>
    <p class="muted small">Boxes are processes, sheets are files, circles are peers; an arrow leads from who did it. What an alarm speaks of is red and has a thick edge.</p>
    <${Drawing} title="Graph of the incident" nodes=${drawn.nodes} links=${drawn.links} chosen=${node && chosen} choose=${setChosen} words=${WORDS} />
    <div class="tools"><h3>${node ? `With ${title(node)}` : 'All of it'}</h3>${node && html`<button type="button" onClick=${() => setChosen(undefined)}>All of it</button>`}</div>
    ${rows.length ? html`<${Table} caption="Who did what" columns=${DEEDS} rows=${rows} keyOf=${(d) => d.key} rowClass=${(d) => (d.bad ? 'failed' : '')} />` : html`<${Empty}>Nothing is known of what it did with others.<//>`}</section>`;
}

const DEEDS = [
  { key: 'from', title: 'Who', value: (d) => d.from },
  { key: 'act', title: 'Did', whole: true, value: (d) => d.act },
  { key: 'to', title: 'What', value: (d) => d.to },
  { key: 'count', title: 'Times', number: true, value: (d) => d.count, cell: (d) => count(d.count) },
];

function Timeline({ moments }) {
  if (!moments.length) return html`<${Empty}>Nothing is kept of it.<//>`;
  return html`<ol class="moments">${moments.map((m, n) => html`<li key=${n} class=${rank(m.severity) >= rank('high') && m.alarm ? 'failed' : ''}>
    <time class="at" dateTime=${m.time}>${clock(Date.parse(m.time))}</time>
    <span>${m.alarm ? html`<${Pill} kind=${colour(m.severity)}>${m.severity}<//>` : ''}</span>
    <span class="who">${m.container} ${m.pid || ''}</span><span class="what">${m.text}</span></li>`)}</ol>`;
}

function Alarm({ alarm }) {
  const { process, rule, severity, summary } = alarm;
  return html`<details class="alarm"><summary><${Pill} kind=${colour(severity)}>${severity}<//> ${summary} <span class="muted">${rule}${alarm.count > 1 ? `, ${count(alarm.count)} ×` : ''}</span></summary>
    <${Facts} facts=${[
    ['By', `${process.comm ?? ''} (${process.pid})`],
    ['Program', process.executable && html`<code>${process.executable}</code>`],
    ['Command', process.command_args?.length ? html`<code>${command(process.command_args)}</code>` : undefined],
    ['First, last', `${when(Date.parse(alarm.first))}, ${when(Date.parse(alarm.last))}`],
    ['Tags', alarm.tags?.join(', ')],
  ]} /><pre class="json" tabindex="0" role="region" aria-label="The event">${JSON.stringify(alarm.event, null, 2)}</pre></details>`;
}
