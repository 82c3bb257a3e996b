// Which lines of a stream are looked at, so that a flood costs a page no more than a brook. All are counted.

const WINDOW = 250;
// Looked at in a window.
const BUDGET = 500;
// Of each kind of event in a window, whatever else floods.
const FAIR = 25;
// At the beginning, when the past arrives at once.
const FREE = 10_000;

const CURSOR = /"cursor":(\d{1,20})/;
const NAME = /"event":\{"name":"([^"\\]{1,64})"/;

export class Sampler {
  constructor({ free = FREE } = {}) {
    this.free = free;
    this.total = 0;
    this.taken = 0;
    this.kinds = new Map();
    this.begin = -Infinity;
    this.stride = 1;
    this.rate = 0;
    this.window = { seen: 0, kinds: new Map() };
  }

  // Whether this line is to be looked at; `now` in milliseconds.
  take(line, now) {
    if (now - this.begin >= WINDOW) this.turn(now);
    this.total += 1;
    this.window.seen += 1;
    const kind = NAME.exec(line.slice(0, 160))?.[1] ?? '';
    this.kinds.set(kind, (this.kinds.get(kind) ?? 0) + 1);
    const mine = (this.window.kinds.get(kind) ?? 0) + 1;
    this.window.kinds.set(kind, mine);
    const yes = this.taken < this.free || mine <= FAIR || mine % this.stride === 0;
    if (yes) this.taken += 1;
    return yes;
  }

  turn(now) {
    const past = Math.min(now - this.begin, 4 * WINDOW);
    this.rate = this.begin === -Infinity ? 0 : (this.window.seen * 1000) / past;
    this.stride = Math.max(1, Math.ceil((this.rate * WINDOW) / 1000 / BUDGET));
    this.begin = now;
    this.window = { seen: 0, kinds: new Map() };
  }
}

// What lines of server-sent events say: the events that are looked at, how many gaps, and the last cursor.
export function take(lines, sampler, now = performance.now()) {
  const piece = { events: [], gaps: 0, last: '' };
  for (const line of lines) {
    if (line.startsWith('id: ')) piece.last = line.slice(4);
    if (!line.startsWith('data: ')) continue;
    const data = line.slice(6);
    if (data.startsWith('{"gap"')) {
      piece.gaps += 1;
      continue;
    }
    piece.last = CURSOR.exec(data.slice(0, 400))?.[1] ?? piece.last;
    if (sampler.take(data, now)) piece.events.push(JSON.parse(data));
  }
  return piece;
}
