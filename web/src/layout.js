// Where the nodes of the map lie: by forces, and from one look to the next where they were.
import { forceCollide, forceLink, forceManyBody, forceSimulation, forceX, forceY } from 'd3-force';

// Milliseconds that one look may take.
const PATIENCE = 250;
const STEPS = 150;
export const HEIGHT = 34;
const LABEL = 22;
const LETTER = 7.2;
// From one level to the next.
const LEVEL = 190;

export function label(node) {
  return node.name.length > LABEL ? `${node.name.slice(0, LABEL - 1)}…` : node.name;
}

// How it is called where there is room, beginning with what is written on it: who says what he sees is understood.
export function spoken(node, whole) {
  const shown = label(node);
  return whole.includes(shown) ? whole : `${shown} (${whole})`;
}

// What has its name in it; the name of anything else stands below.
export function boxed(node) {
  return node.kind === 'container' || node.kind === 'process';
}

export function width(node) {
  return boxed(node) ? Math.max(64, label(node).length * LETTER + 24) : 18;
}

// Gives each node x and y; `places` is a Map that is kept from look to look, `size` that of what it is drawn in. Nodes that have
// a `level` lie from left to right by it.
export function arrange({ nodes, links }, places, size = { width: 900, height: 560 }) {
  const wide = size.width / size.height;
  // In a small frame they lie closer, so that they can be read.
  const close = Math.min(1, Math.max(0.55, size.width / 900));
  const fresh = nodes.filter((node) => !places.has(node.id));
  const bodies = nodes.map((node) => ({ node, id: node.id, pod: podOf(node), ...(places.get(node.id) ?? near(node, links, places)) }));
  if (fresh.length) {
    const simulation = forceSimulation(bodies).stop()
      .alpha(places.size ? 0.4 : 1)
      .force('link', forceLink(links.filter((link) => link.source !== link.target).map(({ source, target }) => ({ source, target }))).id((body) => body.id).distance(200 * close).strength(0.35))
      .force('charge', forceManyBody().strength(-900 * close * close).distanceMax(900))
      .force('collide', forceCollide((body) => Math.min(width(body.node) / 2, 70) + 30 * close).iterations(2))
      .force('x', forceX(({ node }) => (node.level ?? 0) * LEVEL * close).strength(({ node }) => (node.level === undefined ? 0.04 : 0.5)))
      .force('y', forceY(0).strength(0.04 * wide ** 1.5))
      .force('pod', together(bodies));
    const end = performance.now() + PATIENCE;
    for (let step = 0; step < STEPS && performance.now() < end; step += 1) simulation.tick();
  }
  places.clear();
  for (const { id, x, y } of bodies) places.set(id, { x, y });
  return bodies.map(({ node, x, y }) => ({ ...node, x, y }));
}

export function podOf(node) {
  return node.pod === undefined ? undefined : `${node.namespace ?? ''}/${node.pod}`;
}

// A new node begins beside somebody it talks to.
function near(node, links, places) {
  for (const { source, target } of links) {
    const other = source === node.id ? target : target === node.id ? source : undefined;
    if (other !== undefined && places.has(other)) {
      const { x, y } = places.get(other);
      return { x: x + 40, y: y + 40 };
    }
  }
  return {};
}

// Draws containers of one pod to their middle.
function together(bodies) {
  const pods = Map.groupBy ? Map.groupBy(bodies, (body) => body.pod) : groups(bodies);
  pods.delete(undefined);
  return (alpha) => {
    for (const members of pods.values()) {
      const middle = { x: mean(members, 'x'), y: mean(members, 'y') };
      for (const body of members) {
        body.vx += (middle.x - body.x) * 0.3 * alpha;
        body.vy += (middle.y - body.y) * 0.3 * alpha;
      }
    }
  };
}

function groups(bodies) {
  const all = new Map();
  for (const body of bodies) all.set(body.pod, [...(all.get(body.pod) ?? []), body]);
  return all;
}

function mean(all, key) {
  return all.reduce((sum, one) => sum + one[key], 0) / all.length;
}

// Pods as boxes around their containers: { name, x, y, width, height }.
export function pods(nodes) {
  const all = groups(nodes.filter((node) => node.pod !== undefined).map((node) => ({ ...node, pod: podOf(node) })));
  return [...all].map(([name, members]) => ({ name, ...box(members, 14) }));
}

export function box(nodes, margin) {
  if (!nodes.length) return { x: -200, y: -100, width: 400, height: 200 };
  const left = Math.min(...nodes.map((n) => n.x - width(n) / 2)) - margin;
  const right = Math.max(...nodes.map((n) => n.x + width(n) / 2)) + margin;
  const top = Math.min(...nodes.map((n) => n.y - HEIGHT / 2)) - margin;
  const bottom = Math.max(...nodes.map((n) => n.y + HEIGHT / 2)) + margin;
  return { x: left, y: top, width: right - left, height: bottom - top };
}

// From the edge of one node to the edge of the other, bent aside if there is a link back.
export function path(source, target, bent) {
  if (source === target) {
    const { x, y } = source;
    const w = width(source) / 2;
    return { d: `M${x + w * 0.4},${y - HEIGHT / 2} C${x + w * 0.4},${y - 62} ${x - w * 0.4},${y - 62} ${x - w * 0.4},${y - HEIGHT / 2}`, x, y: y - 58 };
  }
  const dx = target.x - source.x;
  const dy = target.y - source.y;
  const length = Math.hypot(dx, dy) || 1;
  const aside = bent ? 26 : 0;
  const middle = { x: (source.x + target.x) / 2 - (dy / length) * aside, y: (source.y + target.y) / 2 + (dx / length) * aside };
  const from = edge(source, middle, 2);
  const to = edge(target, middle, 6);
  return { d: `M${round(from.x)},${round(from.y)} Q${round(middle.x)},${round(middle.y)} ${round(to.x)},${round(to.y)}`, x: (from.x + 2 * middle.x + to.x) / 4, y: (from.y + 2 * middle.y + to.y) / 4 };
}

function round(n) {
  return Math.round(n * 10) / 10;
}

// Where a line from the middle of a node towards a point leaves it.
function edge(node, point, gap) {
  const dx = point.x - node.x;
  const dy = point.y - node.y;
  const length = Math.hypot(dx, dy) || 1;
  const reach = boxed(node)
    ? Math.min((width(node) / 2) / Math.abs(dx / length || 1e-9), (HEIGHT / 2) / Math.abs(dy / length || 1e-9))
    : 9;
  return { x: node.x + (dx / length) * (reach + gap), y: node.y + (dy / length) * (reach + gap) };
}
