// Small pieces that several views have in common.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { html } from './html.js';

// Whether a view was entered by a link, and nothing was done in it yet. The page itself is entered at its beginning, as any page.
let entered = false;
addEventListener('hashchange', () => {
  entered = true;
});
for (const done of ['keydown', 'pointerdown']) {
  addEventListener(done, () => {
    entered = false;
  }, true);
}

// Moves on to the heading of a view that was entered by a link, so that a screen reader begins there.
export function Heading({ children, title }) {
  const ref = useRef();
  useEffect(() => {
    document.title = `${title} – remora`;
    const { activeElement: active } = document;
    if (entered && (!active || active === document.body || active.closest('a'))) ref.current?.focus({ preventScroll: true });
  }, [title]);
  return html`<h1 ref=${ref} tabindex="-1">${children}</h1>`;
}

export function Failure({ error }) {
  if (!error || error.status === 0) return null;
  return html`<p class="problem" role="alert">${error.message}</p>`;
}

export function Empty({ children }) {
  return html`<p class="empty">${children}</p>`;
}

export function Pill({ kind, children }) {
  return html`<span class="pill ${kind ?? ''}">${children}</span>`;
}

// A table that can be sorted by its columns: { key, title, value(row), cell?(row), number?, wide?, whole? }.
export function Table({ columns, rows, keyOf, initial, caption, limit = 500, rowClass }) {
  const [order, setOrder] = useState(initial ?? { key: columns[0].key, down: false });
  const column = columns.find((c) => c.key === order.key) ?? columns[0];
  const sorted = useMemo(() => {
    const sign = order.down ? -1 : 1;
    return [...rows].sort((a, b) => sign * compare(column.value(a), column.value(b)));
  }, [rows, order, column.key]);
  const by = (c) => setOrder({ key: c.key, down: order.key === c.key ? !order.down : Boolean(c.number) });
  const aria = (c) => (order.key === c.key ? (order.down ? 'descending' : 'ascending') : undefined);
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${caption}>
    <table>
      <caption class="unseen">${caption}</caption>
      <thead><tr>${columns.map((c) => html`<th key=${c.key} scope="col" class=${styles(c)} aria-sort=${aria(c)}>
        <button type="button" class="sort" onClick=${() => by(c)}>${c.title}<span aria-hidden="true">${order.key === c.key ? (order.down ? ' ↓' : ' ↑') : ''}</span></button>
      </th>`)}</tr></thead>
      <tbody>${sorted.slice(0, limit).map((row) => html`<tr key=${keyOf(row)} class=${rowClass?.(row)}>
        ${columns.map((c) => html`<td key=${c.key} class=${styles(c)}>${c.cell ? c.cell(row) : c.value(row)}</td>`)}
      </tr>`)}</tbody>
    </table>
    ${sorted.length > limit && html`<p class="remark">${sorted.length - limit} more rows are not drawn: narrow the search.</p>`}
  </div>`;
}

function styles(column) {
  return [column.number && 'number', column.wide && 'wide', column.whole && 'whole', column.main && 'main'].filter(Boolean).join(' ') || undefined;
}

function compare(a, b) {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  return String(a).localeCompare(String(b), 'en', { numeric: true });
}

export function Search({ label, value, onInput }) {
  return html`<label class="search"><span class="unseen">${label}</span>
    <input type="search" placeholder=${label} value=${value} onInput=${(e) => onInput(e.target.value)} autocomplete="off" spellcheck="false" />
  </label>`;
}

// A share of the greatest, as a bar behind a text.
export function Bars({ items, empty }) {
  if (!items.length) return html`<${Empty}>${empty}<//>`;
  const most = Math.max(...items.map((item) => item.value), 1);
  return html`<ul class="bars">${items.map((item) => html`<li key=${item.key}>
    <span class="bar-fill" style=${{ width: `${(item.value / most) * 100}%` }}></span>
    <span class="bar-name" title=${item.title ?? item.name}>${item.name}</span>
    <span class="bar-value">${item.text ?? item.value}</span>
  </li>`)}</ul>`;
}

export function Facts({ facts }) {
  return html`<dl class="facts">${facts.filter(([, value]) => value !== undefined && value !== '').map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

// Time in steps, so that what depends on it is drawn anew.
export function useNow(every = 1000) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}
