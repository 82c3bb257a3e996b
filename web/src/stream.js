// A container's events: from the oldest kept on, over losses of the connection, without one twice.
import { Sampler, take } from './sampler.js';
import { ask, lost } from './session.js';

const AGAIN = 2000;
// The daemon says each 15 s that it is there.
const SILENCE = 40_000;

// Follows until the signal; `heard` gets { events, gaps, sampler } after each piece.
export async function follow(container, heard, signal) {
  const sampler = new Sampler();
  let after = '';
  while (!signal.aborted) {
    try {
      const from = after ? `after=${after}` : 'replay=true';
      const target = `/v1/events?container=${encodeURIComponent(container)}&follow=true&${from}`;
      const response = await ask(target, { signal, headers: { accept: 'text/event-stream' } });
      after = await read(response.body, sampler, after, heard, signal);
      if (!signal.aborted) lost('The stream of events ended.');
    } catch (error) {
      if (error.after) after = error.after;
    }
    if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, AGAIN));
  }
}

// Server-sent events, of which only the lines of data matter here: what else there is stands in the JSON.
async function read(body, sampler, after, heard, signal) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let last = after;
  try {
    for (;;) {
      const { done, value } = await silence(reader.read());
      if (done) return last;
      const lines = (rest + value).split('\n');
      rest = lines.pop();
      const piece = take(lines, sampler);
      last = piece.last || last;
      if (piece.events.length || piece.gaps) heard({ ...piece, sampler });
      // What is drawn goes before what comes.
      await new Promise((resolve) => setTimeout(resolve, 0));
      if (signal.aborted) return last;
    }
  } catch (error) {
    if (!signal.aborted) lost('The stream of events broke off.');
    throw Object.assign(error, { after: last });
  } finally {
    reader.cancel().catch(() => {});
  }
}

function silence(promise) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('silence')), SILENCE);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}
