// Series over time: which of them make one plot, and how each is read.
import { own } from './exposition.js';

// Ten minutes, two seconds apart.
const POINTS = 300;

// What people look for first; whatever else a container has follows by name.
const KNOWN = [
  { title: 'Processor', unit: 'cores', match: { cpu_user_seconds_total: 'programs', cpu_system_seconds_total: 'kernel' }, stack: true },
  { title: 'Memory', unit: 'bytes', match: { memory_usage_bytes: 'in use', memory_anon_bytes: 'its own', memory_limit_bytes: 'limit' } },
  { title: 'Network', unit: 'bytes/s', match: { flow_sent_bytes_total: 'sent', flow_received_bytes_total: 'received' } },
  { title: 'Disk', unit: 'bytes/s', match: { io_read_bytes_total: 'read', io_written_bytes_total: 'written' } },
  { title: 'Tasks', unit: '', match: { resources_tasks: 'processes and threads', tasks_limit: 'limit' } },
  { title: 'Waiting', unit: 's/s', match: { cpu_pressure_some_seconds_total: 'for a processor', memory_pressure_some_seconds_total: 'for memory', io_pressure_some_seconds_total: 'for a device', cpu_throttled_seconds_total: 'held back by its quota' } },
];

// Values of one container as they were read, one array for each series.
export class Record {
  constructor() {
    this.times = [];
    this.rows = new Map();
  }

  // `found` as series() gives it; `at` in seconds.
  add(found, at) {
    this.times.push(at);
    const length = this.times.length;
    for (const one of found) {
      if (one.name.endsWith('_bucket')) continue;
      const key = `${one.name} ${JSON.stringify(own(one.labels))}`;
      const row = this.rows.get(key) ?? { ...one, own: own(one.labels), values: new Array(length - 1).fill(null) };
      row.values.push(one.value);
      this.rows.set(key, row);
    }
    for (const row of this.rows.values()) if (row.values.length < length) row.values.push(null);
    if (length > POINTS) {
      this.times.shift();
      for (const row of this.rows.values()) row.values.shift();
    }
  }

  // Of a counter, how much it grew each second.
  values(row) {
    return isCounter(row) ? rate(this.times, row.values) : row.values;
  }
}

function isCounter(row) {
  return row.type === 'counter' || /_(sum|count)$/.test(row.name);
}

export function rate(times, values) {
  return values.map((value, i) => {
    const before = values[i - 1];
    if (i === 0 || value === null || before === null || before === undefined) return null;
    return value < before ? null : (value - before) / (times[i] - times[i - 1]);
  });
}

// Sums series alike but for a label, as one for each device.
function sum(all) {
  return all[0].map((_, i) => {
    const here = all.map((values) => values[i]).filter((value) => value !== null);
    return here.length ? here.reduce((a, b) => a + b, 0) : null;
  });
}

// Plots of what is known by name: { title, unit, times, lines: [{ label, values, help }] }.
export function known(record) {
  const rows = [...record.rows.values()];
  const plots = KNOWN.map(({ title, unit, match }) => {
    const lines = Object.entries(match).flatMap(([end, label]) => {
      const mine = rows.filter((row) => row.name.endsWith(`_${end}`));
      return mine.length ? [{ label, help: mine[0].help, values: sum(mine.map((row) => record.values(row))) }] : [];
    });
    return { title, unit, times: record.times, lines };
  });
  return plots.filter((plot) => plot.lines.length);
}

// All others, by name.
export function others(record) {
  const used = new Set(KNOWN.flatMap(({ match }) => Object.keys(match)));
  const groups = new Map();
  for (const row of record.rows.values()) {
    if ([...used].some((end) => row.name.endsWith(`_${end}`))) continue;
    groups.set(row.name, [...(groups.get(row.name) ?? []), row]);
  }
  return [...groups].map(([name, rows]) => ({
    title: name.replace(/^remora_/, ''),
    help: rows[0].help,
    unit: unitOf(name, rows[0]),
    times: record.times,
    lines: rows.slice(0, 8).map((row) => ({ label: Object.values(row.own).join(' ') || 'value', values: record.values(row) })),
  })).sort((a, b) => a.title.localeCompare(b.title));
}

function unitOf(name, row) {
  const each = isCounter(row) ? '/s' : '';
  if (name.includes('_bytes')) return `bytes${each}`;
  if (/_seconds(_total|_sum)?$/.test(name)) return `s${each}`;
  return each;
}
