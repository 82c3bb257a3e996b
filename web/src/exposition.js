// One container's series out of the text that Prometheus scrapes.

const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;
const ESCAPE = { '\\n': '\n', '\\"': '"', '\\\\': '\\' };

function unescape(text) {
  return text.replace(/\\[n"\\]/g, (found) => ESCAPE[found]);
}

// A list of { name, labels, value, type, help }; `wanted` says which labels must be what.
export function series(text, wanted) {
  const needles = Object.entries(wanted).map(([key, value]) => `${key}="${escape(value)}"`);
  const about = new Map();
  const found = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('# ')) {
      const [, what, name, ...rest] = line.split(' ');
      about.set(name, { ...about.get(name), [what === 'HELP' ? 'help' : 'type']: rest.join(' ') });
    } else if (needles.every((needle) => line.includes(needle))) {
      const one = parse(line, wanted);
      if (one) found.push({ ...one, ...about.get(family(one.name, about)) });
    }
  }
  return found;
}

function escape(value) {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function parse(line, wanted) {
  const open = line.indexOf('{');
  const close = line.lastIndexOf('}');
  const value = Number(line.slice(close + 1).trim());
  if (open < 0 || close < open || Number.isNaN(value)) return undefined;
  const labels = {};
  for (const [, key, text] of line.slice(open + 1, close).matchAll(LABEL)) labels[key] = unescape(text);
  const fits = Object.entries(wanted).every(([key, text]) => labels[key] === text);
  return fits ? { name: line.slice(0, open), labels, value } : undefined;
}

// A histogram's series have endings of their own.
function family(name, about) {
  if (about.has(name)) return name;
  return name.replace(/_(bucket|sum|count)$/, '');
}

// Labels that tell series of one name apart.
export function own(labels) {
  const { namespace, pod, container, ...rest } = labels;
  return rest;
}
