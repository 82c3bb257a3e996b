// A daemon that is none: the API on a Unix socket, with as many containers and events as one likes, and names that would like to
// be HTML. What a page does with two hundred containers and ten thousand events a second is found out with this.
import { createServer } from 'node:http';
import { rmSync } from 'node:fs';

// Each is something that would run, or break out, where text is taken for HTML, an attribute, a URL or a style.
export const HOSTILE = [
  '<img src=x onerror="window.pwned=1">',
  '<script>window.pwned=1</script>',
  '"><svg onload=window.pwned=1>',
  "';window.pwned=1;//",
  'javascript:window.pwned=1',
  '</textarea></title><iframe srcdoc="<script>parent.pwned=1</script>">',
  '{{constructor.constructor("window.pwned=1")()}}',
  '__proto__',
];

const IMAGES = ['docker.io/library/nginx:1.27', 'docker.io/library/postgres:16', 'localhost/shop/api:2.3', 'localhost/shop/worker:2.3'];

export class Fake {
  constructor(socket, { containers = 12, rate = 20, hostile = false } = {}) {
    this.socket = socket;
    this.rate = rate;
    this.hostile = hostile;
    this.cursor = 1000;
    this.began = Date.now();
    this.asked = [];
    this.streams = new Set();
    this.connections = new Set();
    this.stopped = new Set();
    this.containers = Array.from({ length: containers }, (_, i) => this.container(i));
  }

  name(i) {
    return this.hostile ? HOSTILE[i % HOSTILE.length] : ['web', 'api', 'db', 'cache', 'worker', 'mail'][i % 6] + (i < 6 ? '' : `-${Math.floor(i / 6)}`);
  }

  container(i) {
    const id = i.toString(16).padStart(4, '0').padStart(64, 'abcdef0123456789');
    const pod = i % 3 === 2 ? { name: this.hostile ? this.name(i) : `shop-${i}`, namespace: 'prod', uid: `u${i}` } : undefined;
    return {
      id, name: this.name(i), state: i % 11 === 10 ? 'ended' : 'running', pid: 1000 + i, cgroup_id: 5000 + i, cgroup_path: `/sys/fs/cgroup/machine.slice/${id}`,
      identity: { id, name: this.name(i), image_name: this.hostile ? this.name(i + 1) : IMAGES[i % 4], image_id: '', runtime: 'podman', bundle: '/run', pod, labels: this.hostile ? { [this.name(i)]: this.name(i) } : undefined },
      namespaces: { net: i }, tracers: ['dns', 'exec', 'flow', 'listen', 'resources', 'tcp'],
      ledger: {
        observed_from: new Date(this.began - 600_000 - i * 1000).toISOString(), observed_to: i % 11 === 10 ? new Date(this.began).toISOString() : undefined,
        late: i % 7 === 6 ? 'found running when the daemon started' : undefined, notes: this.hostile ? HOSTILE : [],
        tracers: { exec: this.counts(i * 10, 0), tcp: this.counts(i * 1000, i % 9 === 8 ? 41 : 0) },
      },
    };
  }

  counts(counted, lost) {
    return { counted, delivered: counted - lost, lost_full: 0, lost_share: lost, lost_other: 0, lost_budget: 0 };
  }

  start() {
    rmSync(this.socket, { force: true });
    this.server = createServer((request, response) => this.answer(request, response));
    this.server.on('connection', (connection) => {
      this.connections.add(connection);
      connection.on('close', () => this.connections.delete(connection));
    });
    return new Promise((resolve) => this.server.listen(this.socket, resolve));
  }

  async stop() {
    const closed = new Promise((resolve) => this.server.close(resolve));
    for (const connection of this.connections) connection.destroy();
    await closed;
  }

  answer(request, response) {
    const url = new URL(request.url, 'http://fake');
    const parts = url.pathname.split('/').slice(1).map(decodeURIComponent);
    this.asked.push(`${request.method} ${request.url}`);
    const json = (value) => response.setHeader('content-type', 'application/json').end(JSON.stringify(value));
    const missing = () => {
      response.statusCode = 404;
      response.setHeader('content-type', 'application/problem+json').end(JSON.stringify({ status: 404, detail: 'no such resource' }));
    };
    if (url.pathname === '/metrics') return response.setHeader('content-type', 'text/plain').end(this.metrics());
    if (url.pathname === '/v1/version') return json({ version: 'fake' });
    if (url.pathname === '/v1/events') return this.stream(url, response);
    if (url.pathname === '/v1/topology') return json(this.topology());
    if (parts[1] === 'alerts') {
      const incidents = this.incidents();
      const found = parts[2] ? incidents.find((i) => i.id === parts[2]) : incidents;
      return found ? json(found) : missing();
    }
    if (parts[1] === 'tracers') return this.onTracers(request, parts, json);
    if (parts[1] !== 'containers') return missing();
    this.grow();
    if (parts.length === 2) return json(this.containers);
    const container = this.containers.find((c) => c.id === parts[2] || c.name === parts[2]);
    if (!container) return missing();
    if (parts.length === 3) return json(container);
    if (parts[3] === 'tables') return this.tables(container, parts[4], json, missing);
    if (parts[3] === 'stacks') return json(this.stacks());
    if (parts[3] === 'tracers') {
      const name = parts[4];
      container.tracers = request.method === 'PUT' ? [...container.tracers, name].sort() : container.tracers.filter((t) => t !== name);
      return json({});
    }
    return missing();
  }

  grow() {
    for (const container of this.containers) {
      if (container.state !== 'ended') container.ledger.tracers.exec.counted = container.ledger.tracers.exec.delivered += 7;
    }
  }

  onTracers(request, parts, json) {
    if (request.method === 'POST') {
      this.stopped[parts[3] === 'stop' ? 'add' : 'delete'](parts[2]);
      return json({});
    }
    const help = { dns: 'DNS questions asked and answered, by UDP and TCP.', exec: 'Programs executed, processes that end, forks.', file: 'Files opened, made, removed and changed.', flow: 'Who talks to whom: connections, bytes and packets.', profile: 'What runs on the processors.', tcp: 'TCP connections made, taken and ended.' };
    return json(Object.entries(help).map(([name, text]) => ({
      name, help: text, groups: ['default'], state: this.stopped.has(name) ? 'stopped' : 'attached', origin: 'built in', containers: this.containers.length, chosen: ['executed'], refused: [], set: {}, budget: {}, cost: {},
      events: [{ name: 'exec', help: 'a program was executed', fields: [{ name: 'process.pid', type: 'integer', help: 'process id as the host sees it', optional: false, feature: false }] }],
      metrics: [{ name: `remora_${name}_things_total`, type: 'counter', help: 'things', labels: [] }], tables: [], params: [], programs: [],
    })));
  }

  topology() {
    const nodes = this.containers.filter((c) => c.state !== 'ended').map((c, i) => ({ id: c.id, kind: 'container', name: c.name, pod: c.identity.pod?.name, namespace: c.identity.pod?.namespace, addresses: [`10.0.0.${i + 2}`] }));
    const age = (Date.now() - this.began) / 1000;
    const edge = (source, target, port, per, failures = 0) => ({ source, target, transport: 'tcp', port, seen_by: 'both', connections: 40, failures, active: 3, sent_bytes: Math.round(per * (age + 50)), received_bytes: Math.round(per * 6 * (age + 50)), sent_packets: 900, received_packets: 900, retransmits: failures, round_trip: 0.0003 * (1 + (port % 7)), first: '2026-01-01T00:00:00Z', last: new Date().toISOString() });
    const edges = nodes.slice(1).map((node, i) => edge(nodes[Math.floor(i / 3)].id, node.id, 5000 + i, 800 + 300 * i, i % 17 === 3 ? 5 : 0));
    const outside = ['203.0.113.9', '198.51.100.7', '2001:db8::7'];
    for (const [i, address] of outside.entries()) {
      nodes.push({ id: address, kind: 'peer', name: address });
      edges.push(i ? edge(nodes[i].id, address, 443, 2000) : edge(address, nodes[0].id, 80, 5000));
    }
    return { nodes, edges, truncated: false };
  }

  incidents() {
    return this.containers.slice(0, 4).map((c, i) => this.incident(c, i));
  }

  // A dropper: what it fetches is written, made executable and executed.
  incident(c, i) {
    const [name, time] = [(text, n) => (this.hostile ? this.name(i + n) : text), (s) => new Date(this.began + s * 1000).toISOString()];
    const subject = { container: { id: c.id, name: c.name, image: { name: c.identity.image_name } }, k8s: c.identity.pod && { pod: { name: c.identity.pod.name }, namespace: { name: c.identity.pod.namespace } } };
    const process = (id, label, pid, alarmed = false) => ({ id, kind: 'process', label, pid, alarmed });
    const edge = (from, to, kind, count = 1) => ({ from, to, kind, count });
    const moment = (s, pid, text, alarm) => ({ time: time(s), container: c.name, pid, severity: alarm ? 'high' : 'info', alarm, text });
    const severity = ['critical', 'high', 'medium', 'low'][i];
    const text = `In ${c.name} (${c.identity.image_name}), nginx started sh, which downloaded from 203.0.113.9:80, wrote ${name('/tmp/x', 1)} and executed it.`;
    const alarm = {
      id: `a-${i}`, kind: 'rule', rule: 'program-not-of-image', severity, score: 25, summary: `${name('/tmp/x', 1)} is no part of the image, and was executed`, tags: ['T1105', 'execution'], first: time(3), last: time(4), count: 3, subject,
      process: { pid: 4003, comm: name('x', 2), executable: name('/tmp/x', 1), command_args: [name('/tmp/x', 1), '-d'] }, event: this.event(c, i, this.began + 3000),
    };
    return {
      id: `i-00${i}`, state: i === 3 ? 'over' : 'open', severity, score: 42 - i, title: `${name('sh', 0)} in ${c.name} executed what it had downloaded`, text, first: time(0), last: time(4 + i), over: i === 3 ? time(900) : undefined,
      tags: ['T1105', 'T1059.004', 'execution', 'command-and-control'], rules: ['program-not-of-image'], image: c.identity.image_name, workload: c.name, subjects: [subject], alarms: [alarm], alarms_total: 3,
      graph: {
        nodes: [process('p1', 'nginx', 4001), process('p2', name('sh', 0), 4002), process('p3', name('/tmp/x', 1), 4003, true), { id: 'f1', kind: 'file', label: name('/tmp/x', 1), alarmed: true }, { id: 'n1', kind: 'peer', label: '203.0.113.9:80', alarmed: false }],
        edges: [edge('p1', 'p2', 'executed'), edge('p2', 'p3', 'executed'), edge('p2', 'f1', 'opened', 2), edge('p2', 'f1', 'changed'), edge('p2', 'n1', 'connected'), edge('p3', 'f1', 'executed')],
      },
      timeline: [moment(0, 4002, `nginx started ${name('sh', 0)}`), moment(2, 4002, 'sh connected to 203.0.113.9:80'), moment(3, 4003, alarm.summary, alarm.id)],
      ledger: i === 1 ? { complete: false, lost: 17, left_out: 2 } : { complete: true, lost: 0, left_out: 0 },
    };
  }

  tables(container, name, json, missing) {
    if (!name) return json([{ name: 'flows', help: 'who talks to whom', tracer: 'flow', flow: true }, { name: 'listening', help: 'sockets', tracer: 'listen', flow: false }]);
    const row = (i) => ({ flows: { direction: i % 2 ? 'incoming' : 'outgoing', connections: 12 + i, active: 1, failures: i % 5 === 4 ? 2 : undefined, sent: 5000 * (i + 1), received: 90_000 * (i + 1), sent_packets: 4, received_packets: 5, round_trip: 0.0004, first: '2026-01-01T00:00:00Z', last: new Date().toISOString() }, network: { transport: 'tcp', local: { address: '10.0.0.2' }, peer: { address: `10.0.0.${i + 3}` } }, server: { port: 80 + i } });
    const rows = { flows: Array.from({ length: 8 }, (_, i) => row(i)), listening: [{ network: { local: { address: '0.0.0.0', port: 8080 }, transport: 'tcp' }, listening: { since: new Date().toISOString() }, process: { pid: container.pid, comm: this.hostile ? this.name(2) : 'nginx' } }] }[name];
    return rows ? json({ table: name, tracer: 'flow', container: {}, rows, truncated: false }) : missing();
  }

  stacks() {
    const line = (comm, user, kernel, value) => ({ comm, user, kernel, value });
    const odd = this.hostile ? this.name(0) : 'parse_header';
    return { tracer: 'profile', table: 'profile_stacks', unit: 'samples', total: 1000, samples: [
      line('nginx', ['main', 'worker', 'handle', odd], [], 320), line('nginx', ['main', 'worker', 'handle', 'send'], ['entry_SYSCALL_64', 'do_syscall_64', 'tcp_sendmsg', 'tcp_push'], 280),
      line('nginx', ['main', 'worker', 'handle', 'send', 'writev'], [], 60), line('nginx', ['main', 'worker', 'wait'], ['do_syscall_64', 'ep_poll'], 190), line('gzip', ['main', 'deflate'], [], 150),
    ] };
  }

  metrics() {
    const age = (Date.now() - this.began) / 1000;
    const out = [];
    const family = (name, type, help, value) => {
      out.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
      this.containers.forEach((c, i) => {
        const escaped = (text) => text.replaceAll('\\', '\\\\').replaceAll('"', '\\"');
        out.push(`${name}{container="${escaped(c.name)}",namespace="${c.identity.pod?.namespace ?? ''}",pod="${escaped(c.identity.pod?.name ?? '')}"} ${value(i)}`);
      });
    };
    const wave = (i) => Math.sin(age / 3 + i);
    family('remora_resources_cpu_user_seconds_total', 'counter', 'processor time used by programs', (i) => age * 0.4 + wave(i) * 0.2);
    family('remora_resources_cpu_system_seconds_total', 'counter', 'processor time used by the kernel', (i) => age * 0.1 + wave(i) * 0.05);
    family('remora_resources_memory_usage_bytes', 'gauge', 'memory in use', (i) => 4e7 + 3e6 * wave(i));
    family('remora_resources_memory_limit_bytes', 'gauge', 'memory it may use', () => 67108864);
    family('remora_flow_sent_bytes_total', 'counter', 'bytes sent', (i) => age * 9000 + 2000 * wave(i));
    family('remora_flow_received_bytes_total', 'counter', 'bytes received', (i) => age * 50_000 + 9000 * wave(i));
    family('remora_resources_tasks', 'gauge', 'processes and threads', (i) => 4 + (i % 3));
    family('remora_exec_execs_total', 'counter', 'programs executed', () => age * 3);
    family('remora_dns_queries_total', 'counter', 'questions asked', () => age * 2);
    return `${out.join('\n')}\n`;
  }

  event(container, i, at) {
    const pid = 20_000 + (i % 300);
    const path = this.hostile ? this.name(i) : ['/usr/sbin/nginx', '/bin/sh', '/usr/bin/curl', '/usr/bin/id'][i % 4];
    const base = { time: new Date(at).toISOString(), event: { name: '', tracer: 'exec', cursor: (this.cursor += 8) }, container: { id: container.id, name: container.name } };
    const process = { pid, tid: pid, parent_pid: i % 300 ? 20_000 : 1, user_id: 0, vpid: 1 + (i % 300), comm: path.split('/').pop().slice(0, 15) };
    const kinds = [
      ['exec', { process: { ...process, executable: { path }, command_args: [path, '-c', this.hostile ? this.name(i + 3) : 'daemon off;'], working_directory: '/' }, exec: { filename: path, origin: 'image' } }],
      ['connect', { process, network: { local: { address: '10.0.0.2', port: 40_000 + (i % 1000) }, peer: { address: `10.0.0.${3 + (i % 5)}`, port: 5432 } }, connect: i % 40 === 1 ? { error: 'ECONNREFUSED' } : { latency: 0.0004 } }],
      ['open', { process, file: { path: this.hostile ? `/srv/${this.name(i)}` : `/srv/data/${i % 50}.json` }, open: { flags: ['O_RDONLY'], fd: 5 } }],
      ['answer', { process, dns: { question: { name: this.hostile ? this.name(i + 1) : `db-${i % 4}.shop.internal`, type: 'A' }, answers: ['10.0.0.3'], id: 7 }, network: { peer: { address: '10.0.0.1', port: 53 }, transport: 'udp' }, answer: { rcode: 'NOERROR', latency: 0.001 } }],
      ['exit', { process, exit: { code: 0, duration: 0.02 } }],
    ];
    // One in a thousand is of a kind that is rare, whatever floods.
    const [name, fields] = i % 1000 === 999 ? ['listen', { process, network: { local: { address: '0.0.0.0', port: 8080 }, transport: 'tcp' }, listen: { backlog: 511 } }] : kinds[i % kinds.length];
    base.event.name = name;
    return { ...base, ...fields };
  }

  stream(url, response) {
    const container = this.containers.find((c) => c.id === url.searchParams.get('container')) ?? this.containers[0];
    response.setHeader('content-type', 'text/event-stream');
    const say = (event) => response.write(`id: ${event.event.cursor}\ndata: ${JSON.stringify(event)}\n\n`);
    let n = 0;
    if (url.searchParams.get('replay')) for (; n < 60; n += 1) say(this.event(container, n, this.began - 60_000 + n * 900));
    const tick = setInterval(() => {
      if (response.writableNeedDrain) return;
      for (let i = 0; i < this.rate / 20; i += 1, n += 1) say(this.event(container, n, Date.now()));
    }, 50);
    response.on('close', () => clearInterval(tick));
  }
}
