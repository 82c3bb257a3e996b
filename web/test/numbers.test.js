import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Record, known, others, rate } from '../src/charts.js';
import { series } from '../src/exposition.js';
import { find, hottest, layout, since, tree } from '../src/flame.js';
import { bytes, seconds, short, span } from '../src/format.js';
import { account } from '../src/ledger.js';
import { parse, link } from '../src/route.js';

test('numbers are as people read them', () => {
  assert.deepEqual([0, 1023, 1024, 5 << 20].map(bytes), ['0 B', '1023 B', '1.0 KiB', '5.0 MiB']);
  assert.deepEqual([0, 0.000002, 0.0004, 0.25, 3, 75].map(seconds), ['0 s', '2 µs', '400 µs', '250.0 ms', '3.00 s', '1 min 15 s']);
  assert.deepEqual([0, 61, 3600, 90_061].map(span), ['0 s', '1 min 1 s', '1 h', '1 d 1 h']);
  assert.deepEqual([0.25, 7, 12_345, 2.5e6].map(short), ['0.25', '7', '12.3k', '2.5M']);
});

const TEXT = `# HELP remora_resources_memory_usage_bytes memory in use
# TYPE remora_resources_memory_usage_bytes gauge
remora_resources_memory_usage_bytes{container="web",namespace="",pod=""} 1024
remora_resources_memory_usage_bytes{container="we",namespace="",pod=""} 7
# HELP remora_flow_sent_bytes_total bytes
# TYPE remora_flow_sent_bytes_total counter
remora_flow_sent_bytes_total{container="web",direction="in\\"x\\\\y",namespace="",pod=""} 5
remora_other{container="a",note="container=\\"web\\""} 9
remora_x_latency_seconds_bucket{container="web",namespace="",pod="",le="1"} 3
`;

test('the series of one container, whatever others call themselves', () => {
  const found = series(TEXT, { container: 'web', pod: '' });
  assert.deepEqual(found.map((s) => [s.name, s.value, s.type]), [
    ['remora_resources_memory_usage_bytes', 1024, 'gauge'],
    ['remora_flow_sent_bytes_total', 5, 'counter'],
    ['remora_x_latency_seconds_bucket', 3, undefined],
  ]);
  assert.equal(found[1].labels.direction, 'in"x\\y');
});

test('counters are shown as what comes each second, and a restart is a gap', () => {
  assert.deepEqual(rate([0, 2, 4, 6], [10, 14, 2, 8]), [null, 2, null, 3]);
  const record = new Record();
  for (const [at, value] of [[0, 0], [2, 4096]]) record.add(series(TEXT.replace('} 5', `} ${value}`), { container: 'web' }), at);
  const plots = known(record);
  assert.deepEqual(plots.map((p) => p.title), ['Memory', 'Network']);
  assert.deepEqual(plots[1].lines, [{ label: 'sent', help: 'bytes', values: [null, 2048] }]);
  assert.deepEqual(others(record), []);
});

test('a series that comes late or goes leaves gaps', () => {
  const record = new Record();
  const one = (name) => ({ name, labels: { container: 'c' }, value: 1, type: 'gauge' });
  record.add([one('a')], 0);
  record.add([one('b')], 1);
  assert.deepEqual(others(record).map((p) => p.lines[0].values), [[1, null], [null, 1]]);
  for (let i = 2; i < 1000; i += 1) record.add([one('a')], i);
  assert.equal(record.times.length, 300);
  assert([...record.rows.values()].every((row) => row.values.length === 300));
});

const LINES = [{ comm: 'sh', user: ['main', 'f'], kernel: ['read'], value: 3 }, { comm: 'sh', user: ['main'], value: 1 }, { comm: 'constructor', value: 4 }];

test('stacks are boxes within boxes', () => {
  const root = tree(LINES);
  assert.equal(root.value, 8);
  const boxes = layout(root);
  assert.deepEqual(boxes.map((b) => [b.node.name, b.depth, b.left, b.width]), [['all', 0, 0, 1], ['sh', 1, 0, 0.5], ['main', 2, 0, 0.5], ['f', 3, 0, 0.375], ['read', 4, 0, 0.375], ['constructor', 1, 0.5, 0.5]]);
  assert.equal(find(root, ['thread sh', 'user main', 'gone']).name, 'main');
  assert.deepEqual(hottest(LINES).map((f) => [f.name, f.value]), [['constructor', 4], ['read', 3], ['main', 1]]);
  assert.deepEqual(since(LINES, [LINES[0], { ...LINES[2], value: 1 }]).map((l) => l.value), [1, 3]);
});

test('an account is as good as its worst part', () => {
  const counts = (lost) => ({ exec: { counted: 10, delivered: 10 - lost, lost_full: lost } });
  assert.equal(account({ tracers: counts(0) }).word, 'complete');
  assert.equal(account({ tracers: counts(0), late: 'x' }).word, 'seen late');
  assert.equal(account({ tracers: counts(3), late: 'x' }).word, '3 lost');
});

test('addresses lead where they were made for', () => {
  for (const id of ['web', 'a/b', '%41', '<img>', '日本']) assert.deepEqual(parse(link('containers', id, 'files')), ['containers', id, 'files']);
  assert.deepEqual(parse('#/%zz'), []);
});
