import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sampler, take } from '../src/sampler.js';

const line = (name, cursor = 1) => JSON.stringify({ time: '2026-01-01T00:00:00.000000000Z', event: { name, tracer: 't', cursor }, x: 1 });

test('a brook is looked at whole', () => {
  const sampler = new Sampler({ free: 0 });
  let taken = 0;
  for (let i = 0; i < 1000; i += 1) taken += sampler.take(line('exec'), i * 10) ? 1 : 0;
  assert.equal(taken, 1000);
  assert.equal(sampler.stride, 1);
});

test('of a flood some, of what is rare all, and all are counted', () => {
  const sampler = new Sampler({ free: 0 });
  const taken = { open: 0, exec: 0 };
  let now = 0;
  for (let i = 0; i < 100_000; i += 1) {
    now += 0.1;
    const name = i % 1000 === 0 ? 'exec' : 'open';
    if (sampler.take(line(name), now)) taken[name] += 1;
  }
  assert.equal(taken.exec, 100);
  assert(taken.open > 5000 && taken.open < 30_000, `${taken.open}`);
  assert.equal(sampler.kinds.get('open'), 99_900);
  assert.equal(sampler.total, 100_000);
  assert(Math.abs(sampler.rate - 10_000) < 200, `${sampler.rate}`);
  assert.equal(sampler.stride, 5);
});

test('the flood is over when it is over', () => {
  const sampler = new Sampler({ free: 0 });
  for (let i = 0; i < 10_000; i += 1) sampler.take(line('open'), i * 0.1);
  sampler.take(line('open'), 2000);
  sampler.take(line('open'), 3000);
  assert.equal(sampler.stride, 1);
});

test('pieces of a stream: data, cursors and gaps', () => {
  const sampler = new Sampler();
  const lines = [`id: 7`, `data: ${line('exec', 7)}`, '', ':', 'event: gap', 'id: 20', 'data: {"gap":{"after":7,"to":20}}', ''];
  const piece = take(lines, sampler, 0);
  assert.deepEqual(piece.events.map((e) => e.event.cursor), [7]);
  assert.equal(piece.gaps, 1);
  assert.equal(piece.last, '20');
});
