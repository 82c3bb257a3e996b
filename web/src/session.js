// Who asks, and whether there is an answer: the only place where requests are made.

const PLACE = 'remora-session';
const PATIENCE = 10_000;

const listeners = new Set();
let state = { kind: 'starting', why: '' };
let secret = localStorage.getItem(PLACE);

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export function connection() {
  return state;
}

// Calls back when the connection is lost, regained or ended.
export function watch(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function become(kind, why = '') {
  if (kind === state.kind && why === state.why) return;
  state = { kind, why };
  for (const listener of listeners) listener(state);
}

export function lost(why) {
  if (state.kind !== 'ended') become('lost', why);
}

// Exchanges the key of a link for a session; the key does not stay in the address.
export async function enter() {
  const key = location.hash.slice(1);
  if (key && !key.startsWith('/')) {
    history.replaceState(null, '', location.pathname);
    const response = await fetch('/session', { method: 'POST', body: key });
    if (response.ok) {
      secret = (await response.json()).session;
      localStorage.setItem(PLACE, secret);
    }
  }
  return json('/session');
}

// A response that is good; whatever is not is thrown, and the connection's state told.
export async function ask(target, options = {}) {
  const { headers, patience = PATIENCE, signal, ...rest } = options;
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(new Error('no answer in time')), patience);
  let response;
  try {
    response = await fetch(target, { ...rest, cache: 'no-store', signal: signal ? AbortSignal.any([signal, limit.signal]) : limit.signal, headers: { authorization: `Bearer ${secret ?? ''}`, ...headers } });
  } catch (error) {
    if (signal?.aborted) throw error;
    lost('The server of this page does not answer.');
    throw new Problem(0, 'no answer');
  } finally {
    clearTimeout(timer);
  }
  if (response.ok) {
    become('ok');
    return response;
  }
  const detail = await response.json().then((p) => p.detail, () => response.statusText);
  if (response.status === 401) become('ended', detail);
  else if (response.status === 502 || response.status === 503 || response.status === 504) lost('The daemon does not answer.');
  else become('ok');
  throw new Problem(response.status, detail);
}

export async function json(target, options) {
  return (await ask(target, options)).json();
}

export async function text(target, options) {
  return (await ask(target, options)).text();
}
