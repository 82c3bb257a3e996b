// An event, put as a person would. Names are OpenTelemetry's where there are such; what has none is shown as it is named.

const HEAD = new Set(['time', 'event', 'container', 'k8s', 'process']);

export function time(event) {
  return Date.parse(event.time);
}

// Arguments as one would type them.
export function command(args) {
  return args.map((arg) => (arg === '' || /[\s'"\\$`;&|<>()*?[\]{}!#~]/.test(arg) ? `'${arg.replaceAll("'", "'\\''")}'` : arg)).join(' ');
}

export function endpoint(end, port = end?.port) {
  if (!end) return '';
  const address = end.address ?? '';
  if (port === undefined) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

// The member that the event's own fields are in, if it has any.
export function own(event) {
  return event[event.event.name] ?? {};
}

// What failed, as the kernel names it.
export function failure(event) {
  const { error, signal, code } = own(event);
  if (error !== undefined) return String(error);
  if (signal !== undefined && code !== undefined) return String(signal);
  return '';
}

// Path and value of everything in an object.
export function flat(object, prefix = '', out = []) {
  for (const [key, value] of Object.entries(object)) {
    const path = prefix ? `${prefix}.${key}` : key;
    if (value && typeof value === 'object' && !Array.isArray(value)) flat(value, path, out);
    else out.push([path, Array.isArray(value) ? value.join(' ') : String(value)]);
  }
  return out;
}

// The files an event is about.
export function paths(event) {
  const { old_path: before, new_path: after } = own(event);
  return [event.file?.path, before, after].filter((path) => typeof path === 'string');
}

// One line: what it is about first, then the rest.
export function summary(event) {
  const parts = [];
  const said = new Set();
  const say = (text, ...keys) => {
    if (text !== undefined && text !== '') parts.push(String(text));
    keys.forEach((key) => said.add(key));
  };
  const name = event.event.name;
  const mine = own(event);
  const args = event.process?.command_args;
  if (args) say(command(args), `${name}.filename`);
  if (mine.old_path !== undefined) say(`${mine.old_path} → ${mine.new_path}`, `${name}.old_path`, `${name}.new_path`);
  if (event.file?.path !== undefined) say(event.file.path, 'file.path');
  if (event.dns?.question) {
    say(`${event.dns.question.name} ${event.dns.question.type ?? ''}`.trim(), 'dns.question.name', 'dns.question.type', 'dns.question.class', 'dns.id');
    if (event.dns.answers?.length) say(`→ ${event.dns.answers.join(', ')}`, 'dns.answers');
  }
  const network = event.network;
  if (network) {
    const { local, peer } = network;
    if (peer?.address) say(`${name === 'accept' ? 'from' : 'to'} ${endpoint(peer)}`);
    if (local?.address && !peer?.address) say(`at ${endpoint(local)}`);
    ['address', 'port'].forEach((key) => said.add(`network.local.${key}`).add(`network.peer.${key}`));
  }
  const rest = flat(Object.fromEntries(Object.entries(event).filter(([key]) => !HEAD.has(key))));
  for (const [path, value] of rest) {
    if (!said.has(path) && parts.length < 12) parts.push(`${path.slice(path.lastIndexOf('.') + 1)}=${value}`);
  }
  return parts.join('  ');
}
