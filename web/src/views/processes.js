// The processes of a container, parents above children.
import { useMemo, useState } from 'preact/hooks';
import { clock, plural, seconds } from '../format.js';
import { html } from '../html.js';
import { forest } from '../story.js';
import { Empty, Search } from '../widgets.js';

const LIMIT = 400;

export function Processes({ story, version, container }) {
  const [search, setSearch] = useState('');
  const [ended, setEnded] = useState(true);
  const over = container.state === 'ended';
  const roots = useMemo(() => forest(story.processes.values()), [story, version]);
  const word = search.toLowerCase();
  const fits = ({ process }) => (ended || process.ended === undefined) && `${process.command ?? ''} ${process.comm} ${process.pid}`.toLowerCase().includes(word);
  const kept = useMemo(() => prune(roots, fits), [roots, word, ended]);
  const left = { n: LIMIT };
  const total = story.processes.map.size;
  return html`
    <div class="tools">
      <${Search} label="Search by command or pid" value=${search} onInput=${setSearch} />
      <label class="check"><input type="checkbox" checked=${ended} onChange=${(e) => setEnded(e.target.checked)} /> ended ones, too</label>
      <span class="muted">${plural(total, 'process', 'processes')} seen to do something</span>
    </div>
    ${kept.length ? html`<${Branch} nodes=${kept} left=${left} over=${over} first=${story.first} />` : html`<${Empty}>No process ${total ? 'is like that' : 'has been seen yet'}.<//>`}
    ${left.n <= 0 && html`<p class="remark">There are more than ${LIMIT} lines: narrow the search.</p>`}`;
}

// Parents of what fits stay.
function prune(nodes, fits) {
  return nodes.flatMap((node) => {
    const children = prune(node.children, fits);
    return children.length || fits(node) ? [{ ...node, children }] : [];
  });
}

function Branch({ nodes, left, over, first }) {
  return html`<ul class="tree">${nodes.map((node) => {
    left.n -= 1;
    if (left.n < 0) return null;
    return html`<li key=${node.process.pid}><${Process} node=${node} over=${over} first=${first} />
      ${node.children.length > 0 && html`<${Branch} nodes=${node.children} left=${left} over=${over} first=${first} />`}</li>`;
  })}</ul>`;
}

function Process({ node, over, first }) {
  const { process: p, times } = node;
  const alive = p.ended === undefined && !over;
  const inside = p.vpid && p.vpid !== p.pid ? `, ${p.vpid} inside` : '';
  return html`<div class="process ${alive ? 'alive' : 'gone'}">
    <span class="life" role="img" aria-label=${alive ? 'alive' : 'ended'}></span>
    <span class="command">${p.command ?? p.comm}</span>
    ${times > 1 && html`<span class="pill">${times} ×</span>`}
    <span class="muted about">pid ${p.pid}${inside} · ${p.executed ? `started +${seconds((p.executed - first) / 1000)}` : `seen at ${clock(p.since)}`}${p.user ? ` · user ${p.user}` : ''}${end(p)}</span>
  </div>`;
}

function end(p) {
  if (p.ended === undefined) return '';
  const how = p.signal ? `by ${p.signal}` : `with ${p.code ?? '?'}`;
  return ` · ended ${how} after ${seconds(p.duration ?? 0)}`;
}
