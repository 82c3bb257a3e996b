// A live plot: uPlot, with the style sheet's colours.
import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { bytes, seconds, short } from './format.js';
import { html } from './html.js';
import { colour } from './theme.js';

const COLOURS = ['s1', 's2', 's3', 's4', 's5', 's6', 's7', 's8'];

// Steps of an axis of bytes.
const BINARY = Array.from({ length: 50 }, (_, i) => 2 ** i);

export function shown(value, unit) {
  if (value === null || value === undefined) return '–';
  if (unit === 'bytes') return bytes(value);
  if (unit === 'bytes/s') return `${bytes(value)}/s`;
  if (unit === 's') return seconds(value);
  if (unit === 's/s') return `${(value * 100).toFixed(1)} %`;
  return `${short(value)}${unit && !unit.startsWith('/') ? ' ' : ''}${unit}`;
}

export function Plot({ title, help, unit, times, lines, height = 150 }) {
  const place = useRef();
  const plot = useRef();
  const [theme, setTheme] = useState(0);
  const shape = JSON.stringify([title, unit, lines.map((line) => line.label), theme]);
  useEffect(() => {
    const changed = () => setTheme((n) => n + 1);
    const media = matchMedia('(prefers-color-scheme: dark)');
    document.addEventListener('themechange', changed);
    media.addEventListener('change', changed);
    return () => {
      document.removeEventListener('themechange', changed);
      media.removeEventListener('change', changed);
    };
  }, []);
  useEffect(() => {
    const element = place.current;
    const size = () => ({ width: Math.max(element.clientWidth, 120), height });
    const drawn = new uPlot({ ...options(unit, lines), ...size() }, data(times, lines), element);
    plot.current = drawn;
    const watch = new ResizeObserver(() => element.isConnected && drawn.setSize(size()));
    watch.observe(element);
    return () => {
      watch.disconnect();
      drawn.destroy();
      plot.current = undefined;
    };
  }, [shape]);
  useEffect(() => plot.current?.setData(data(times, lines)));
  const now = lines.map((line) => `${line.label} ${shown(latest(line.values), unit)}`).join(', ');
  return html`<figure class="plot">
    <figcaption title=${help}>${title}</figcaption>
    <div class="canvas" role="img" aria-label=${`${title}: ${now}`} ref=${place}></div>
    <ul class="key">${lines.map((line, i) => html`<li key=${line.label} title=${line.help}>
      <span class="swatch ${COLOURS[i % COLOURS.length]}" aria-hidden="true"></span>${line.label} <b>${shown(latest(line.values), unit)}</b>
    </li>`)}</ul>
  </figure>`;
}

function latest(values) {
  for (let i = values.length - 1; i >= 0 && i >= values.length - 3; i -= 1) if (values[i] !== null) return values[i];
  return undefined;
}

function data(times, lines) {
  return [times, ...lines.map((line) => line.values)];
}

function options(unit, lines) {
  const axis = { stroke: colour('muted'), grid: { stroke: colour('line'), width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' };
  return {
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    padding: [8, 8, 0, 0],
    scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), (high || 1) * 1.1] } },
    axes: [
      { ...axis, size: 26, space: 70, values: [[60, '{HH}:{mm}', null, null, null, null, null, null, 1], [1, '{HH}:{mm}:{ss}', null, null, null, null, null, null, 1]] },
      { ...axis, size: 64, ...(unit.startsWith('bytes') && { incrs: BINARY }), values: (_, all) => all.map((value) => shown(value, unit)) },
    ],
    series: [{}, ...lines.map((line, i) => {
      const stroke = colour(COLOURS[i % COLOURS.length]);
      return { label: line.label, stroke, width: 1.5, fill: lines.length === 1 ? colour(`${COLOURS[i]}-soft`) : undefined, points: { show: false }, spanGaps: true };
    })],
  };
}
