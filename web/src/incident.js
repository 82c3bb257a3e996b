// What an incident has, put as the page shows it.

export const SEVERITIES = ['info', 'low', 'medium', 'high', 'critical'];

export function rank(severity) {
  return SEVERITIES.indexOf(severity);
}

// As pills are coloured; the word stands in them, too.
export function colour(severity) {
  return { critical: 'bad', high: 'bad', medium: 'warn' }[severity] ?? '';
}

// Containers that take part: { id, name, pod?, image? }.
export function subjects(incident) {
  return incident.subjects.map(({ container = {}, k8s }) => ({
    id: container.id ?? container.name ?? '',
    name: container.name ?? container.id ?? '',
    image: container.image?.name,
    pod: k8s?.pod?.name && `${k8s.namespace?.name ?? ''}/${k8s.pod.name}`,
  }));
}

// Techniques have numbers; all else is a tactic or a word of the rule's own.
export function tags({ tags: all }) {
  const isTechnique = (tag) => /^T\d{4}(\.\d{3})?$/.test(tag);
  return { techniques: all.filter(isTechnique), words: all.filter((tag) => !isTechnique(tag)) };
}

// As a graph that can be drawn: what one did with another in several ways is one link, and whoever began lies on the left.
export function graph({ graph: { nodes, edges } }) {
  const known = new Map(nodes.map((node) => [node.id, { id: node.id, kind: node.kind, name: node.label, pid: node.pid, bad: node.alarmed }]));
  const links = new Map();
  for (const { from, to, kind, count } of edges) {
    if (!known.has(from) || !known.has(to)) continue;
    const key = JSON.stringify([from, to]);
    const link = links.get(key) ?? { key, source: from, target: to, acts: [] };
    link.acts.push({ kind, count });
    links.set(key, link);
  }
  const all = [...links.values()];
  for (const [id, level] of levels([...known.keys()], all)) known.get(id).level = level;
  return { nodes: [...known.values()], links: all };
}

// How far each is from who began. In a ring the first that is listed did.
function levels(ids, links) {
  const after = new Map();
  for (const { source, target } of links) after.set(source, [...(after.get(source) ?? []), target]);
  const asked = new Set(links.filter((l) => l.source !== l.target).map((l) => l.target));
  const found = new Map();
  const begin = (id) => {
    if (!found.has(id)) found.set(id, 0);
    for (const queue = [id]; queue.length;) {
      const at = queue.shift();
      for (const next of after.get(at) ?? []) {
        if (found.has(next)) continue;
        found.set(next, found.get(at) + 1);
        queue.push(next);
      }
    }
  };
  ids.filter((id) => !asked.has(id)).forEach(begin);
  ids.filter((id) => !found.has(id)).forEach(begin);
  return found;
}

// Everything that was done, in words: { key, from, act, count, to, bad }.
export function deeds({ nodes, links }) {
  const at = new Map(nodes.map((node) => [node.id, node]));
  return links.flatMap(({ key, source, target, acts }) => acts.map(({ kind, count }) => ({
    key: `${key} ${kind}`, source, target, act: kind, count, from: title(at.get(source)), to: title(at.get(target)), bad: at.get(target).bad,
  })));
}

export function title(node) {
  return node.pid === undefined || node.kind !== 'process' ? node.name : `${node.name} (${node.pid})`;
}

// Where one was asked to look for.
export function fits(incident, { search, least, over }) {
  if (incident.state === 'over' && !over) return false;
  if (rank(incident.severity) < rank(least)) return false;
  const { id, title: line, image, workload, rules } = incident;
  const text = [id, line, image, workload, ...rules, ...incident.tags, ...subjects(incident).flatMap((s) => [s.name, s.pod])].join(' ').toLowerCase();
  return search.toLowerCase().split(/\s+/).filter(Boolean).every((word) => text.includes(word));
}
