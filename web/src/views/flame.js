// Where the processor's time goes, as a flame graph one can walk through.
import { useMemo, useRef, useState } from 'preact/hooks';
import { find, hottest, layout, since, tree } from '../flame.js';
import { count } from '../format.js';
import { html } from '../html.js';
import { useJson } from '../poll.js';
import { Empty, Failure, Table } from '../widgets.js';

const EVERY = 5000;
const ROW = 22;

export function Flame({ target, container }) {
  const { data, error } = useJson(`${target}/stacks`, EVERY);
  const [base, setBase] = useState([]);
  const [path, setPath] = useState([]);
  const samples = useMemo(() => since(data?.samples ?? [], base), [data, base]);
  const root = useMemo(() => tree(samples), [samples]);
  if (error?.status === 404) {
    return html`<${Empty}>${error.message}. The tracer “profile” takes stacks 49 times a second${container.state === 'ended' ? '' : '; it can be switched on under “Ledger and tracers”, or by `io.remora.trace`'}.<//>`;
  }
  if (!data) return html`<${Failure} error=${error} /><p class="empty" role="status">Looking …</p>`;
  const unit = data.unit || 'samples';
  return html`
    <div class="tools">
      <button type="button" onClick=${() => { setBase(data.samples); setPath([]); }}>Begin anew from now</button>
      ${base.length > 0 && html`<button type="button" onClick=${() => setBase([])}>All since its start</button>`}
      <button type="button" disabled=${!path.length} onClick=${() => setPath([])}>Whole graph</button>
      <span class="muted">${count(root.value)} ${unit}${base.length ? ' since then' : ''}</span>
    </div>
    ${(data.notes ?? []).map((note) => html`<p class="remark" key=${note}>${note}</p>`)}
    ${root.value ? html`<${Graph} root=${root} path=${path} setPath=${setPath} unit=${unit} />
      <section><h2>Functions by time of their own</h2>
        <${Table} caption="Functions by time of their own" columns=${columns(root.value, unit)} rows=${hottest(samples)} keyOf=${(f) => `${f.kind} ${f.name}`} initial=${{ key: 'value', down: true }} /></section>` : html`<${Empty}>No stack has been found yet: an idle container has none.<//>`}`;
}

function columns(total, unit) {
  return [
    { key: 'name', title: 'Function', main: true, value: (f) => f.name, cell: (f) => html`<code>${f.name}</code>` },
    { key: 'kind', title: 'Where', value: (f) => WHERE[f.kind] },
    { key: 'share', title: 'Share', number: true, value: (f) => f.value, cell: (f) => share(f.value / total) },
    { key: 'value', title: unit, number: true, value: (f) => f.value, cell: (f) => count(f.value) },
  ];
}

const WHERE = { kernel: 'kernel', user: 'program', thread: 'unknown', all: '' };

function share(x) {
  return `${(x * 100).toFixed(1)} %`;
}

// Boxes are buttons: a click or Enter goes in, arrows go from one to the next.
function Graph({ root, path, setPath, unit }) {
  const node = find(root, path);
  const boxes = useMemo(() => layout(node, path), [node, path]);
  const [at, setAt] = useState(0);
  const place = useRef();
  const depth = Math.max(...boxes.map((box) => box.depth)) + 1;
  const current = Math.min(at, boxes.length - 1);
  const go = (index) => {
    setAt(index);
    place.current?.children[index]?.focus();
  };
  const keys = (event) => {
    const step = { ArrowDown: 'down', ArrowUp: 'up', ArrowRight: 'right', ArrowLeft: 'left' }[event.key];
    if (event.key === 'Escape') return setPath(path.slice(0, -1));
    if (!step) return undefined;
    event.preventDefault();
    return go(next(boxes, current, step));
  };
  const chosen = boxes[current];
  return html`<div class="flame" style=${{ height: `${depth * ROW}px` }} role="group" aria-label="Flame graph, the outermost on top; arrows move, Enter goes in, Escape out" ref=${place} onKeyDown=${keys}>
    ${boxes.map((box, i) => {
    const label = `${box.node.name}, ${share(box.width)} of what is shown, ${count(box.node.value)} ${unit}`;
    return html`<button type="button" key=${box.path.join('\n') || 'all'} class="box ${box.node.kind}" tabindex=${i === current ? 0 : -1} title=${label} aria-label=${label}
        style=${{ left: `${box.left * 100}%`, width: `${box.width * 100}%`, top: `${box.depth * ROW}px` }}
        onFocus=${() => setAt(i)} onClick=${() => { setPath(box.path); setAt(0); }}>${box.width > 0.015 ? box.node.name : ''}</button>`;
  })}</div>
  <p class="muted chosen" aria-hidden="true">${chosen && `${chosen.node.name} — ${share(chosen.width)}, ${count(chosen.node.value)} ${unit}, its own ${count(chosen.node.self)}`}</p>`;
}

export function next(boxes, index, step) {
  const here = boxes[index];
  const better = (found, box, i) => {
    const fits = {
      down: box.depth === here.depth + 1 && box.left >= here.left - 1e-9 && box.left < here.left + here.width,
      up: box.depth === here.depth - 1 && box.left <= here.left + 1e-9 && here.left < box.left + box.width,
      right: box.depth === here.depth && box.left > here.left,
      left: box.depth === here.depth && box.left < here.left,
    }[step];
    if (!fits) return found;
    if (found < 0) return i;
    return step === 'left' ? (box.left > boxes[found].left ? i : found) : (box.left < boxes[found].left ? i : found);
  };
  const found = boxes.reduce(better, -1);
  return found < 0 ? index : found;
}
