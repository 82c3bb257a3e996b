// What a container does, at a glance.
import { known } from '../charts.js';
import { bytes, count, plural, span, when } from '../format.js';
import { html } from '../html.js';
import { totals } from '../ledger.js';
import { Plot } from '../plot.js';
import { link } from '../route.js';
import { Bars, Empty, Facts } from '../widgets.js';
import { useTables } from '../tables.js';

const TOP = 6;

function top(items, value) {
  return [...items].sort((a, b) => value(b) - value(a)).slice(0, TOP);
}

function Card({ title, more, to, children }) {
  return html`<section class="card"><div class="card-head"><h2>${title}</h2>${to && html`<a href=${to}>${more ?? 'more'}</a>`}</div>${children}</section>`;
}

export function Overview({ container, target, story, sampler, record }) {
  const to = (view) => link('containers', container.id, view);
  const { flows, listening } = useTables(target, container);
  const plots = known(record).slice(0, 2);
  const alive = story.processes.values().filter((p) => p.ended === undefined && container.state === 'running');
  return html`<div class="grid">
    <${Card} title="In short"><${Story} container=${container} story=${story} sampler=${sampler} alive=${alive} /><//>
    <${Card} title="Programs it runs" to=${to('processes')} more="process tree">
      <${Bars} empty="None was seen to start." items=${top(story.programs.values(), (p) => p.runs).map((p) => ({ key: p.path, name: p.path, title: p.command, value: p.runs, text: `${count(p.runs)} ×` }))} />
    <//>
    <${Card} title="Who it talks to" to=${to('connections')} more="connections"><${Peers} flows=${flows} story=${story} /><//>
    <${Card} title="What it offers" to=${to('connections')}><${Offers} listening=${listening} story=${story} /><//>
    ${plots.map((plot) => html`<${Card} key=${plot.title} title=${plot.title} to=${to('resources')} more="resources"><${Plot} ...${plot} title="" height=${120} /><//>`)}
    ${story.files.map.size > 0 && html`<${Card} title="Files" to=${to('files')} more="all files"><${Bars} empty="" items=${top(story.files.values(), (f) => f.events).map((f) => ({ key: f.path, name: f.path, value: f.events }))} /><//>`}
    ${story.names.map.size > 0 && html`<${Card} title="Names it asks for" to=${to('connections')}><${Bars} empty="" items=${top(story.names.values(), (n) => n.events).map((n) => ({ key: n.name, name: n.name, title: n.answers.join(', '), value: n.events, text: n.rcode && n.rcode !== 'NOERROR' ? n.rcode : `${count(n.events)} ×` }))} /><//>`}
    <${Card} title="Kinds of events" to=${to('timeline')} more="timeline"><${Kinds} sampler=${sampler} /><//>
    <${Card} title="How complete this is" to=${to('ledger')} more="ledger"><${Complete} container=${container} /><//>
  </div>`;
}

function Story({ container, story, sampler, alive }) {
  const first = story.head.find((event) => event.process?.command_args);
  return html`<${Facts} facts=${[
    ['First program', first && html`<code class="first">${first.process.command_args.join(' ')}</code>`],
    ['At', first && when(Date.parse(first.time))],
    ['Programs started', story.execs ? count(story.execs) : undefined],
    ['Processes alive', alive.length ? html`${alive.length}${alive.length <= 4 ? `: ${alive.map((p) => p.comm).join(', ')}` : ''}` : undefined],
    ['Events', sampler ? count(Math.max(sampler.total, totals(container.ledger).counted)) : undefined],
    ['Traced with', container.tracers.join(', ') || 'nothing'],
  ]} />`;
}

function Peers({ flows, story }) {
  const bars = flows ? fromFlows(flows) : fromEvents(story);
  return html`<${Bars} empty="Nobody was seen." items=${bars} />`;
}

function fromFlows(flows) {
  const peers = new Map();
  for (const row of flows) {
    const name = row.network?.peer?.address ?? 'others';
    const peer = peers.get(name) ?? { key: name, name, value: 0, ports: new Set() };
    peer.value += row.flows.sent + row.flows.received;
    if (row.server?.port && row.flows.direction !== 'incoming') peer.ports.add(row.server.port);
    peers.set(name, peer);
  }
  return top(peers.values(), (p) => p.value).map((p) => ({ ...p, name: p.ports.size ? `${p.name} : ${[...p.ports].slice(0, 3).join(', ')}` : p.name, text: bytes(p.value) }));
}

function fromEvents(story) {
  return top(story.peers.values(), (p) => p.events).map((p) => ({ key: `${p.address} ${p.kind}`, name: `${p.address} : ${p.port ?? ''}`, value: p.events, text: `${p.kind} ${count(p.events)} ×` }));
}

function Offers({ listening, story }) {
  if (listening?.length) {
    const rows = listening.slice(0, TOP * 2);
    return html`<ul class="plain-list">${rows.map((row, i) => html`<li key=${i}><b>${row.network.local.port}/${row.network.transport}</b> <span class="muted">on ${row.network.local.address} by ${row.process?.comm ?? '?'}</span></li>`)}</ul>`;
  }
  const asked = [...new Set(story.peers.values().filter((p) => p.kind === 'accept').map((p) => p.port))];
  if (asked.length) return html`<ul class="plain-list">${asked.slice(0, TOP).map((port) => html`<li key=${port}><b>${port}</b> <span class="muted">was connected to</span></li>`)}</ul>`;
  return html`<${Empty}>It listens nowhere, as far as was seen.<//>`;
}

function Kinds({ sampler }) {
  const kinds = [...(sampler?.kinds ?? [])].map(([name, value]) => ({ key: name, name: name || 'other', value, text: count(value) }));
  return html`<${Bars} empty="None has come yet." items=${top(kinds, (k) => k.value)} />`;
}

function Complete({ container }) {
  const { ledger } = container;
  const all = totals(ledger);
  const end = ledger.end?.join(', ');
  return html`<${Facts} facts=${[
    ['Counted in the kernel', count(all.counted)],
    ['Delivered', count(all.delivered)],
    ['Lost', html`<b class=${all.lost ? 'bad-text' : 'good-text'}>${count(all.lost)}</b>`],
    ['Late', ledger.late],
    ['Its end was told by', end],
    ['Notes', ledger.notes?.length ? plural(ledger.notes.length, 'note') : undefined],
    ['Lasted', ledger.observed_to && span((Date.parse(ledger.observed_to) - Date.parse(ledger.observed_from)) / 1000)],
  ]} />`;
}
