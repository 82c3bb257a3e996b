// What a container did, gathered from its events within bounds: how often, by whom, with which files and whom it talked to.
import { command, failure, own, paths, time } from './event.js';

const HEAD = 500;
const TAIL = 4000;
const ROWS = 2000;
const SECONDS = 3600;

// A map that forgets who has been silent for longest.
export class Recent {
  constructor(limit = ROWS) {
    this.limit = limit;
    this.map = new Map();
    this.forgotten = 0;
  }

  // The entry of a key, made if there is none, and now the youngest.
  at(key, make) {
    const entry = this.map.get(key) ?? make();
    this.map.delete(key);
    this.map.set(key, entry);
    if (this.map.size > this.limit) {
      this.map.delete(this.map.keys().next().value);
      this.forgotten += 1;
    }
    return entry;
  }

  get(key) {
    return this.map.get(key);
  }

  values() {
    return [...this.map.values()];
  }
}

export class Story {
  constructor() {
    this.head = [];
    this.tail = [];
    this.first = undefined;
    this.last = undefined;
    this.execs = 0;
    this.gaps = 0;
    this.processes = new Recent();
    this.programs = new Recent();
    this.files = new Recent();
    this.peers = new Recent();
    this.names = new Recent();
    this.seconds = new Map();
  }

  add(event) {
    const at = time(event);
    this.first ??= at;
    this.last = at;
    if (this.head.length < HEAD) this.head.push(event);
    else this.tail.push(event);
    if (this.tail.length > 2 * TAIL) this.tail = this.tail.slice(-TAIL);
    this.second(Math.floor(at / 1000));
    const process = this.process(event, at);
    for (const path of paths(event)) this.file(path, event, at, process);
    if (event.network?.peer?.address) this.peer(event, at);
    if (event.dns?.question) this.name(event, at);
  }

  // All that is kept, oldest first.
  events() {
    return this.head.concat(this.tail.slice(-TAIL));
  }

  second(second) {
    this.seconds.set(second, (this.seconds.get(second) ?? 0) + 1);
    if (this.seconds.size > SECONDS) this.seconds.delete(this.seconds.keys().next().value);
  }

  process(event, at) {
    const { pid, parent_pid: parent, vpid, comm, executable, command_args: args, user_id: user } = event.process ?? {};
    if (pid === undefined) return undefined;
    const starts = args !== undefined;
    let process = this.processes.get(pid);
    // A number is given to another process once its owner has ended.
    if (process?.ended !== undefined && starts) this.processes.map.delete(pid);
    process = this.processes.at(pid, () => ({ pid, parent, since: at, events: 0 }));
    process.events += 1;
    process.comm = comm ?? process.comm;
    process.vpid = vpid ?? process.vpid;
    process.user = user ?? process.user;
    if (parent) process.parent = parent;
    if (starts) this.program(process, executable?.path ?? args[0] ?? '', args, at);
    const { code, duration } = own(event);
    if (code !== undefined && duration !== undefined) Object.assign(process, { ended: at, code, signal: own(event).signal, duration });
    return process;
  }

  program(process, path, args, at) {
    this.execs += 1;
    Object.assign(process, { path, command: command(args), executed: at });
    const program = this.programs.at(path, () => ({ path, runs: 0, first: at }));
    program.runs += 1;
    program.last = at;
    program.command = process.command;
  }

  file(path, event, at, process) {
    const file = this.files.at(path, () => ({ path, events: 0, failures: 0, kinds: {}, first: at }));
    const kind = event.event.name;
    file.events += 1;
    file.last = at;
    file.kinds[kind] = (file.kinds[kind] ?? 0) + 1;
    file.by = process?.comm ?? file.by;
    if (failure(event)) {
      file.failures += 1;
      file.failure = failure(event);
    }
  }

  peer(event, at) {
    const { peer, local, transport } = event.network;
    const kind = event.event.name;
    const key = `${peer.address} ${kind}`;
    const entry = this.peers.at(key, () => ({ address: peer.address, kind, events: 0, failures: 0, first: at }));
    entry.events += 1;
    entry.last = at;
    entry.port = kind === 'accept' ? local?.port : peer.port;
    entry.transport = transport ?? entry.transport;
    if (failure(event)) {
      entry.failures += 1;
      entry.failure = failure(event);
    }
  }

  name(event, at) {
    const { name, type } = event.dns.question;
    const entry = this.names.at(name, () => ({ name, events: 0, answers: [], types: new Set() }));
    entry.events += 1;
    entry.last = at;
    if (type) entry.types.add(type);
    if (event.dns.answers?.length) entry.answers = event.dns.answers;
    const { rcode } = own(event);
    if (rcode !== undefined) entry.rcode = rcode;
  }
}

// Processes as a forest, parents before children; of ended siblings alike, one stands for all.
export function forest(processes) {
  const nodes = new Map(processes.map((process) => [process.pid, { process, children: [], times: 1 }]));
  const roots = [];
  for (const node of nodes.values()) {
    const parent = nodes.get(node.process.parent);
    (parent && parent !== node && !below(nodes, parent, node) ? parent.children : roots).push(node);
  }
  return fold(roots);
}

// A ring of parents, as numbers given anew can make one, has no root.
function below(nodes, from, wanted) {
  let node = from;
  for (let steps = 0; node && steps < nodes.size; steps += 1) {
    if (node === wanted) return true;
    node = nodes.get(node.process.parent);
  }
  return Boolean(node);
}

function fold(siblings) {
  const kept = [];
  const alike = new Map();
  siblings.sort((a, b) => a.process.since - b.process.since);
  for (const node of siblings) {
    node.children = fold(node.children);
    node.like = likeness(node);
    const other = node.like && alike.get(node.like);
    if (other) {
      other.times += 1;
      Object.assign(other, { process: node.process, children: node.children });
    } else {
      kept.push(node);
      if (node.like) alike.set(node.like, node);
    }
  }
  return kept;
}

// What ended nodes must have in common to be told as one: command, end, and children alike.
function likeness({ process: { ended, command: line, comm, code }, children }) {
  if (ended === undefined || children.some((child) => !child.like)) return undefined;
  return JSON.stringify([line ?? comm, code, children.map((child) => child.like)]);
}
