// One container: its events are followed once, and all views of it are drawn from what they tell.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Record } from '../charts.js';
import { series } from '../exposition.js';
import { brief, count, span, when } from '../format.js';
import { html } from '../html.js';
import { account, totals } from '../ledger.js';
import { useJson, usePoll } from '../poll.js';
import { link } from '../route.js';
import { text } from '../session.js';
import { Story } from '../story.js';
import { follow } from '../stream.js';
import { Failure, Heading, Pill, useNow } from '../widgets.js';
import { Connections } from './connections.js';
import { Files } from './files.js';
import { Flame } from './flame.js';
import { Ledger } from './ledger.js';
import { Overview } from './overview.js';
import { Processes } from './processes.js';
import { Resources } from './resources.js';
import { Timeline } from './timeline.js';

const VIEWS = [
  ['overview', 'Overview', Overview], ['timeline', 'Timeline', Timeline], ['processes', 'Processes', Processes], ['files', 'Files', Files],
  ['connections', 'Connections', Connections], ['resources', 'Resources', Resources], ['flame', 'Flame graph', Flame], ['ledger', 'Ledger and tracers', Ledger],
];
// How often what events tell is drawn anew, in milliseconds.
const DRAW = 500;
const EVERY = 2000;

export function Container({ id, view, changes }) {
  const target = `/v1/containers/${encodeURIComponent(id)}`;
  const { data: container, error } = useJson(target, EVERY);
  const { story, version, sampler } = useStory(id);
  const record = useRecord(container);
  if (!container) return html`<${Heading} title=${brief(id)}>${brief(id)}<//><${Failure} error=${error} />${!error && html`<p class="empty" role="status">Looking …</p>`}`;
  const [, , Shown] = VIEWS.find(([name]) => name === view) ?? VIEWS[0];
  return html`
    <${Head} container=${container} />
    <nav class="tabs" aria-label="Views of this container">${VIEWS.map(([name, title]) => html`<a key=${name} href=${link('containers', id, name)} aria-current=${name === view ? 'page' : undefined}>${title}</a>`)}</nav>
    <${Failure} error=${error} />
    <${Sampled} container=${container} sampler=${sampler} story=${story} />
    <${Shown} container=${container} target=${target} story=${story} version=${version} sampler=${sampler} record=${record} changes=${changes} />`;
}

function Head({ container: c }) {
  const now = useNow();
  const { image_name: image, pod, runtime } = c.identity;
  const from = Date.parse(c.ledger.observed_from);
  const to = c.ledger.observed_to ? Date.parse(c.ledger.observed_to) : now;
  const { word, kind } = account(c.ledger);
  const facts = [pod && `${pod.namespace}/${pod.name}`, image, runtime, c.name === c.id ? '' : brief(c.id)].filter(Boolean);
  return html`<div class="head container-head"><div>
    <p class="crumb"><a href=${link('containers')}>Containers</a></p>
    <${Heading} title=${c.name}>${c.name} <${Pill} kind=${c.state}>${c.state}<//> <${Pill} kind=${kind}>${word}<//><//>
    <p class="lead">${facts.join(' · ')}</p>
    <p class="lead">Seen from ${when(from)}${c.ledger.observed_to ? ` to ${when(to)}` : ''}, for ${span((to - from) / 1000)}, ${c.ledger.late ? html`<b>late: ${c.ledger.late}</b>` : 'from its first program on'}.</p>
  </div></div>`;
}

// Says what the page leaves out.
function Sampled({ container, sampler, story }) {
  const parts = [];
  const forgotten = sampler ? totals(container.ledger).delivered - sampler.total : 0;
  if (sampler?.stride > 1) parts.push(`${count(sampler.rate)} events a second come in. This page looks at 1 in ${sampler.stride} of what floods, and at all of what is rare; numbers of events count all.`);
  else if (sampler && sampler.taken < sampler.total) parts.push(`Of ${count(sampler.total)} events this page has looked at ${count(sampler.taken)}: the others came in a flood. Numbers of events count all.`);
  if (forgotten > Math.max(100, sampler?.total / 20)) parts.push(`${count(forgotten)} events are older than what the daemon remembers: this is not the beginning.`);
  else if (story.gaps) parts.push('Some events were forgotten by the daemon before this page could read them.');
  return parts.length ? html`<p class="remark sampled" role="note">${parts.join(' ')}</p>` : null;
}

// The story grows in place; the version says that it has.
function useStory(id) {
  const [state, setState] = useState({ version: 0 });
  const story = useMemo(() => new Story(), [id]);
  useEffect(() => {
    const end = new AbortController();
    let timer;
    follow(id, ({ events, gaps, sampler }) => {
      for (const event of events) story.add(event);
      story.gaps += gaps;
      timer ??= setTimeout(() => {
        timer = undefined;
        setState(({ version }) => ({ version: version + 1, sampler }));
      }, DRAW);
    }, end.signal);
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  }, [id]);
  return { story, ...state };
}

// Metrics since the container was looked at.
function useRecord(container) {
  const record = useRef(new Record());
  const [, setTurn] = useState(0);
  const wanted = container && { container: container.name, pod: container.identity.pod?.name ?? '', namespace: container.identity.pod?.namespace ?? '' };
  const key = JSON.stringify(wanted ?? null);
  usePoll(async (signal) => {
    if (!wanted) return;
    const found = series(await text('/metrics', { signal }), wanted);
    record.current.add(found, Date.now() / 1000);
    setTurn((n) => n + 1);
  }, EVERY, key);
  return record.current;
}

