import assert from 'node:assert/strict';
import { test } from 'node:test';
import { command, summary } from '../src/event.js';
import { Recent, Story, forest } from '../src/story.js';

let cursor = 0;
const event = (name, fields, at = 0) => ({ time: new Date(at).toISOString(), event: { name, tracer: 't', cursor: (cursor += 1) }, container: { id: 'c', name: 'c' }, ...fields });
const exec = (pid, parent, args, at) => event('exec', { process: { pid, parent_pid: parent, comm: args[0], executable: { path: `/bin/${args[0]}` }, command_args: args } }, at);
const exit = (pid, parent, at, code = 0) => event('exit', { process: { pid, parent_pid: parent, comm: 'x' }, exit: { code, duration: 1 } }, at);

function told(...events) {
  const story = new Story();
  events.forEach((e) => story.add(e));
  return story;
}

const shape = (nodes) => nodes.map((n) => [n.process.pid, n.times, shape(n.children)]);

test('children stand below their parents', () => {
  const story = told(exec(1, 0, ['init'], 0), exec(2, 1, ['sh'], 10), exec(3, 2, ['ls'], 20), exit(3, 2, 30, 2));
  assert.deepEqual(shape(forest(story.processes.values())), [[1, 1, [[2, 1, [[3, 1, []]]]]]]);
  const ls = story.processes.get(3);
  assert.deepEqual([ls.ended, ls.code, ls.command], [30, 2, 'ls']);
  assert.equal(story.execs, 3);
});

test('one stands for ended siblings alike', () => {
  const runs = Array.from({ length: 50 }, (_, i) => [exec(100 + i, 1, ['date'], i), exit(100 + i, 1, i)]).flat();
  const [root] = forest(told(exec(1, 0, ['init'], 0), ...runs, exec(999, 1, ['date'], 99)).processes.values());
  assert.deepEqual(root.children.map((n) => n.times), [50, 1]);
});

test('one stands for ended siblings whose children are alike', () => {
  const serve = (i) => [exec(100 + i, 1, ['serve'], i), exec(200 + i, 100 + i, ['ask'], i), exit(200 + i, 100 + i, i), exit(100 + i, 1, i)];
  const [root] = forest(told(exec(1, 0, ['init'], 0), ...serve(1), ...serve(2), ...serve(3), exec(900, 1, ['serve'], 9)).processes.values());
  assert.deepEqual(root.children.map((n) => [n.times, n.children.length]), [[3, 1], [1, 0]]);
});

test('a number given anew is another process', () => {
  const story = told(exec(5, 1, ['a'], 0), exit(5, 1, 1), exec(5, 1, ['b'], 2));
  assert.deepEqual([story.processes.get(5).command, story.processes.get(5).ended], ['b', undefined]);
});

test('a ring of parents has an end', () => {
  const story = told(exec(5, 6, ['a'], 0), exec(6, 5, ['b'], 1));
  const count = (nodes) => nodes.reduce((sum, n) => sum + 1 + count(n.children), 0);
  assert.equal(count(forest(story.processes.values())), 2);
});

test('files, peers and names are gathered', () => {
  const story = told(
    event('open', { file: { path: '/a' }, open: {} }),
    event('open', { file: { path: '/a' }, open: { error: 'ENOENT' } }),
    event('rename', { rename: { old_path: '/a', new_path: '/b' } }),
    event('connect', { network: { peer: { address: '10.0.0.1', port: 5432 } }, connect: { error: 'ECONNREFUSED' } }),
    event('answer', { dns: { question: { name: 'db.', type: 'A' }, answers: ['10.0.0.1'] }, answer: { rcode: 'NOERROR' } }),
  );
  const a = story.files.get('/a');
  assert.deepEqual([a.events, a.failures, a.failure, a.kinds], [3, 1, 'ENOENT', { open: 2, rename: 1 }]);
  assert.equal(story.files.get('/b').events, 1);
  assert.equal(story.peers.get('10.0.0.1 connect').failures, 1);
  assert.deepEqual(story.names.get('db.').answers, ['10.0.0.1']);
});

test('names that objects have are names as any other', () => {
  const story = told(event('open', { file: { path: '__proto__' }, open: {} }), exec(1, 0, ['constructor'], 0));
  assert.equal(story.files.get('__proto__').events, 1);
  assert.equal(story.programs.get('/bin/constructor').runs, 1);
});

test('all is bounded, and the beginning stays', () => {
  const story = new Story();
  for (let i = 0; i < 20_000; i += 1) story.add(event('open', { process: { pid: i, comm: 'x' }, file: { path: `/f${i}` }, open: {} }, i * 1000));
  assert(story.events().length <= 4500);
  assert.equal(story.events()[0].file.path, '/f0');
  assert.equal(story.events().at(-1).file.path, '/f19999');
  assert(story.files.map.size <= 2000 && story.processes.map.size <= 2000 && story.seconds.size <= 3600);
  assert.equal(story.files.forgotten, 18_000);
});

test('who was silent for longest is forgotten first', () => {
  const recent = new Recent(2);
  ['a', 'b', 'a', 'c'].forEach((key) => recent.at(key, () => ({ key })));
  assert.deepEqual(recent.values().map((v) => v.key), ['a', 'c']);
});

test('events are put in one line', () => {
  assert.equal(command(['sh', '-c', "echo 'a b'", '']), "sh -c 'echo '\\''a b'\\''' ''");
  assert.match(summary(event('connect', { network: { local: { address: '10.0.0.2', port: 1 }, peer: { address: '::1', port: 80 } }, connect: { error: 'ECONNREFUSED' } })), /^to \[::1\]:80 {2}error=ECONNREFUSED$/);
  assert.equal(summary(event('rename', { rename: { old_path: '/a', new_path: '/b' } })), '/a → /b');
  assert.equal(summary(event('answer', { dns: { question: { name: 'db.', type: 'A' }, answers: ['1.2.3.4'] }, answer: { rcode: 'NOERROR' } })), 'db. A  → 1.2.3.4  rcode=NOERROR');
  assert.equal(summary(event('strange', { strange: { what: 3 } })), 'what=3');
});
