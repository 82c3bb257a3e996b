// Files that a container touched, as its events tell.
import { useMemo, useState } from 'preact/hooks';
import { clock, count } from '../format.js';
import { html } from '../html.js';
import { Empty, Search, Table } from '../widgets.js';

export function Files({ story, version, container }) {
  const [search, setSearch] = useState('');
  const rows = useMemo(() => story.files.values(), [story, version]);
  const word = search.toLowerCase();
  const found = rows.filter((file) => `${file.path} ${kinds(file)} ${file.by ?? ''}`.toLowerCase().includes(word));
  if (!rows.length) {
    return html`<${Empty}>No event of this container names a file. ${container.tracers.includes('file') ? 'It has opened none since.' : 'The tracer “file” tells of files opened and changed; it can be switched on under “Ledger and tracers”, or by `io.remora.trace`.'}<//>`;
  }
  return html`
    <div class="tools"><${Search} label="Search by path, act, program" value=${search} onInput=${setSearch} /><span class="muted">${count(found.length)} of ${count(rows.length)} paths</span></div>
    ${story.files.forgotten > 0 && html`<p class="remark">There were more paths than this page keeps; those silent for longest are left out.</p>`}
    <${Table} caption="Files" columns=${COLUMNS} rows=${found} keyOf=${(file) => file.path} initial=${{ key: 'events', down: true }} rowClass=${(file) => (file.failures ? 'failed' : '')} />`;
}

function kinds(file) {
  return Object.entries(file.kinds).map(([kind, n]) => (n > 1 ? `${kind} ${count(n)} ×` : kind)).join(', ');
}

const COLUMNS = [
  { key: 'path', title: 'Path', main: true, value: (f) => f.path, cell: (f) => html`<code>${f.path}</code>` },
  { key: 'kinds', title: 'What was done', value: kinds },
  { key: 'events', title: 'Events', number: true, value: (f) => f.events, cell: (f) => count(f.events) },
  { key: 'failures', title: 'Failed', number: true, value: (f) => f.failures, cell: (f) => (f.failures ? `${count(f.failures)} ${f.failure}` : '') },
  { key: 'by', title: 'Last by', wide: true, value: (f) => f.by ?? '' },
  { key: 'last', title: 'Last', number: true, wide: true, value: (f) => f.last, cell: (f) => clock(f.last) },
];
