// Stacks as a flame graph: from lines of a profile to rectangles.

// A tree of { name, kind, value, self, children: Map }.
export function tree(samples) {
  const root = { name: 'all', kind: 'all', value: 0, self: 0, children: new Map() };
  for (const { comm, user = [], kernel = [], value } of samples) {
    const frames = [[comm || '-', 'thread'], ...user.map((name) => [name, 'user']), ...kernel.map((name) => [name, 'kernel'])];
    let node = root;
    node.value += value;
    for (const [name, kind] of frames) {
      const key = `${kind} ${name}`;
      if (!node.children.has(key)) node.children.set(key, { name, kind, value: 0, self: 0, children: new Map() });
      node = node.children.get(key);
      node.value += value;
    }
    node.self += value;
  }
  return root;
}

// What came since an earlier profile.
export function since(samples, earlier) {
  const key = ({ comm, user = [], kernel = [] }) => JSON.stringify([comm, user, kernel]);
  const before = new Map(earlier.map((line) => [key(line), line.value]));
  return samples.map((line) => ({ ...line, value: line.value - (before.get(key(line)) ?? 0) })).filter((line) => line.value > 0);
}

// The node that a path of keys leads to, as far as it does.
export function find(root, path) {
  let node = root;
  for (const key of path) {
    if (!node.children.has(key)) break;
    node = node.children.get(key);
  }
  return node;
}

// Rectangles below (and with) a node, in shares of its width: { key, path, node, depth, left, width }.
export function layout(node, path = [], least = 0.002, limit = 3000) {
  const boxes = [];
  const walk = (here, at, depth, left) => {
    if (boxes.length >= limit) return;
    boxes.push({ path: at, node: here, depth, left, width: here.value / node.value });
    let x = left;
    const children = [...here.children].sort((a, b) => b[1].value - a[1].value);
    for (const [key, child] of children) {
      if (child.value / node.value >= least) walk(child, [...at, key], depth + 1, x);
      x += child.value / node.value;
    }
  };
  if (node.value > 0) walk(node, path, 0, 0);
  return boxes;
}

// Functions by the time that was theirs alone, the greatest first.
export function hottest(samples, limit = 20) {
  const self = new Map();
  for (const { comm, user = [], kernel = [], value } of samples) {
    const name = kernel.at(-1) ?? user.at(-1) ?? comm;
    const kind = kernel.length ? 'kernel' : user.length ? 'user' : 'thread';
    const key = `${kind} ${name}`;
    const entry = self.get(key) ?? { name, kind, value: 0 };
    entry.value += value;
    self.set(key, entry);
  }
  return [...self.values()].sort((a, b) => b.value - a.value).slice(0, limit);
}
