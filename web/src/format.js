// Numbers and times as people read them.

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export function bytes(n) {
  let value = n;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit + 1 < BINARY.length) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${BINARY[unit]}`;
}

// 1234567 as 1,234,567.
export function count(n) {
  return Math.round(n).toLocaleString('en-US');
}

// A number of any size in few characters.
export function short(n) {
  const size = Math.abs(n);
  if (size >= 1e9) return `${(n / 1e9).toFixed(1)}G`;
  if (size >= 1e6) return `${(n / 1e6).toFixed(1)}M`;
  if (size >= 1e4) return `${(n / 1e3).toFixed(1)}k`;
  if (size >= 100 || Number.isInteger(n)) return String(Math.round(n));
  return n.toPrecision(2);
}

export function seconds(s) {
  const size = Math.abs(s);
  if (size === 0) return '0 s';
  if (size < 1e-3) return `${(s * 1e6).toFixed(0)} µs`;
  if (size < 1) return `${(s * 1e3).toFixed(size < 0.01 ? 2 : 1)} ms`;
  if (size < 60) return `${s.toFixed(size < 10 ? 2 : 1)} s`;
  return span(s);
}

// How long something has lasted, in the two largest units.
export function span(s) {
  const whole = Math.max(0, Math.floor(s));
  const parts = [[Math.floor(whole / 86400), 'd'], [Math.floor(whole / 3600) % 24, 'h'], [Math.floor(whole / 60) % 60, 'min'], [whole % 60, 's']];
  const first = parts.findIndex(([n]) => n > 0);
  if (first < 0) return '0 s';
  return parts.slice(first, first + 2).filter(([n]) => n > 0).map(([n, unit]) => `${n} ${unit}`).join(' ');
}

const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 });
const MINUTE = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });

export function clock(ms) {
  return CLOCK.format(ms);
}

// With the day, if that is not today.
export function when(ms, now = Date.now()) {
  if (!Number.isFinite(ms)) return 'unknown';
  const today = DAY.format(ms) === DAY.format(now);
  return today ? MINUTE.format(ms) : `${DAY.format(ms)}, ${MINUTE.format(ms)}`;
}

export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}

// The beginning of an id as managers make them; other names as they are.
export function brief(id) {
  return /^[0-9a-f]{64}$/.test(id) ? id.slice(0, 12) : id;
}
