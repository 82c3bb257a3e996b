// Nodes and links as a drawing that one can move, and go through by keys. What each is called, its view says:
// `words` has node(node), about(link), lines(link, whole), thick(link) and style(link).
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { html } from './html.js';
import { HEIGHT, arrange, box, boxed, label, path, pods, width } from './layout.js';

// Links that are labelled all at once, and with all there is to say.
const LABELS = 24;
const NUMBERS = 8;

export function Drawing({ title, nodes, links, chosen, choose, words }) {
  const places = useRef(new Map());
  const frame = useRef();
  const [size, setSize] = useState(undefined);
  const [view, setView] = useState({ zoom: 1, x: 0, y: 0 });
  useLayoutEffect(() => {
    const measure = () => setSize({ width: frame.current?.clientWidth || 600, height: frame.current?.clientHeight || 400 });
    const watch = new ResizeObserver(measure);
    watch.observe(frame.current);
    measure();
    return () => watch.disconnect();
  }, []);
  const shape = `${nodes.map((n) => n.id).join('\n')}\n\n${links.map((l) => l.key).join('\n')}`;
  const placed = useMemo(() => (size ? arrange({ nodes, links }, places.current, size) : []), [shape, nodes, Boolean(size)]);
  const at = new Map(placed.map((node) => [node.id, node]));
  const back = new Set(links.map((l) => `${l.target}\n${l.source}`));
  const near = new Set(links.filter((l) => l.source === chosen || l.target === chosen).flatMap((l) => [l.source, l.target]));
  const isNear = (l) => chosen === undefined || l.source === chosen || l.target === chosen;
  const b = viewed(box(placed, 60), view, size ?? { width: 600, height: 400 });
  const drag = useDrag(view, setView, frame, b);
  const order = [...placed].sort((n, m) => n.y - m.y || n.x - m.x);
  const first = chosen ?? order[0]?.id;
  const keys = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === 'Escape') choose(undefined);
    if (!step) return;
    event.preventDefault();
    const next = order[(order.findIndex((n) => n.id === first) + step + order.length) % order.length];
    choose(next.id);
    requestAnimationFrame(() => frame.current?.querySelector('.node[tabindex="0"]')?.focus());
  };
  return html`<div class="map" ref=${frame}>
    <svg viewBox=${`${b.x} ${b.y} ${b.width} ${b.height}`} role="group" aria-label=${`${title}; arrow keys go from node to node, and the table below says the same`} onKeyDown=${keys} ...${drag}>
      <defs>${['', 'bad'].map((kind) => html`<marker key=${kind} id=${`arrow${kind}`} class="arrow ${kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0 L8,4 L0,8 z" /></marker>`)}</defs>
      ${pods(placed).map((pod) => html`<g key=${pod.name} class="pod"><rect x=${pod.x} y=${pod.y} width=${pod.width} height=${pod.height} rx="14" /><text x=${pod.x + 12} y=${pod.y - 6}>${pod.name}</text></g>`)}
      ${size && links.map((l) => html`<${Link} key=${l.key} l=${l} p=${path(at.get(l.source), at.get(l.target), back.has(`${l.source}\n${l.target}`))} faint=${!isNear(l)} labelled=${(links.length <= LABELS || chosen !== undefined) && isNear(l)} whole=${links.length <= NUMBERS || chosen !== undefined} words=${words} />`)}
      ${order.map((node) => html`<${Node} key=${node.id} node=${node} chosen=${node.id === chosen} faint=${chosen !== undefined && node.id !== chosen && !near.has(node.id)} tab=${node.id === first ? 0 : -1} choose=${choose} words=${words} />`)}
    </svg>
    <div class="zoom" role="group" aria-label="Size of the drawing">
      <button type="button" aria-label="Larger" onClick=${() => setView({ ...view, zoom: Math.min(view.zoom * 1.4, 12) })}>+</button>
      <button type="button" aria-label="Smaller" onClick=${() => setView({ ...view, zoom: Math.max(view.zoom / 1.4, 0.5) })}>−</button>
      <button type="button" aria-label="All of it" onClick=${() => setView({ zoom: 1, x: 0, y: 0 })}>⤢</button>
    </div>
  </div>`;
}

// What of the plane is seen: all of it, no larger than it is, nearer and moved as somebody wanted.
function viewed(b, { zoom, x, y }, size) {
  const scale = Math.max(b.width / size.width, b.height / size.height, 0.8) / zoom;
  const [width, height] = [size.width * scale, size.height * scale];
  return { x: b.x + b.width / 2 - width / 2 + x, y: b.y + b.height / 2 - height / 2 + y, width, height };
}

function useDrag(view, setView, frame, b) {
  const from = useRef();
  return {
    onPointerDown: (e) => {
      from.current = { x: e.clientX, y: e.clientY, view };
    },
    onPointerMove: (e) => {
      if (!from.current || !(e.buttons & 1)) return;
      const scale = b.width / frame.current.clientWidth;
      setView({ ...view, x: from.current.view.x - (e.clientX - from.current.x) * scale, y: from.current.view.y - (e.clientY - from.current.y) * scale });
    },
    onPointerUp: () => {
      from.current = undefined;
    },
  };
}

function Link({ l, p, faint, labelled, whole, words }) {
  const style = words.style(l);
  const lines = words.lines(l, whole);
  return html`<g class="link ${style} ${faint ? 'faint' : ''}"><title>${words.about(l)}</title>
    <path d=${p.d} stroke-width=${words.thick(l).toFixed(1)} marker-end=${`url(#arrow${/\bbad\b/.test(style) ? 'bad' : ''})`} />
    ${labelled && html`<text x=${p.x} y=${p.y - (lines.length - 1) * 6}>${lines.map((text, i) => html`<tspan key=${i} x=${p.x} dy=${i ? 13 : 0} class=${text.endsWith(' failed') ? 'bad' : ''}>${text}</tspan>`)}</text>`}
  </g>`;
}

function Node({ node, chosen, faint, tab, choose, words }) {
  const w = width(node);
  const pick = () => choose(chosen ? undefined : node.id);
  const key = (e) => {
    if (e.key !== 'Enter' && e.key !== ' ') return;
    e.preventDefault();
    pick();
  };
  return html`<g class="node ${node.kind} ${chosen ? 'chosen' : ''} ${faint ? 'faint' : ''} ${node.bad ? 'bad' : ''}" transform=${`translate(${node.x.toFixed(1)} ${node.y.toFixed(1)})`}
      tabindex=${tab} role="button" aria-pressed=${chosen} aria-label=${words.node(node)} onClick=${pick} onKeyDown=${key}>
    <title>${node.name}</title>
    ${boxed(node) ? html`<rect x=${-w / 2} y=${-HEIGHT / 2} width=${w} height=${HEIGHT} rx="9" />` : html`<${Mark} kind=${node.kind} />`}
    <text y=${boxed(node) ? 4.5 : 25}>${label(node)}</text>
  </g>`;
}

// A sheet for a file, a circle for whatever is elsewhere.
function Mark({ kind }) {
  return kind === 'file' ? html`<path d="M-7,-9 h9 l5,5 v13 h-14 z" />` : html`<circle r="9" />`;
}
