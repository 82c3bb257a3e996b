// The frame around all views: where one can go, and whether what is shown is live.
import { useEffect, useRef, useState } from 'preact/hooks';
import { html } from './html.js';
import { link, useRoute } from './route.js';
import { connection, enter, watch } from './session.js';
import { isDark, toggleTheme } from './theme.js';
import { Alerts } from './views/alerts.js';
import { Container } from './views/container.js';
import { Containers } from './views/containers.js';
import { Incident } from './views/incident.js';
import { Network } from './views/network.js';
import { Tracers } from './views/tracers.js';

const PLACES = [['containers', 'Containers'], ['alerts', 'Alerts'], ['network', 'Network map'], ['tracers', 'Tracers']];
// How long it is said that the connection is back.
const GLAD = 4000;

export function App() {
  const [session, setSession] = useState(undefined);
  const [state, setState] = useState(connection());
  useEffect(() => watch(setState), []);
  useEffect(() => {
    let timer;
    const begin = () => enter().then(setSession, () => {
      if (connection().kind !== 'ended') timer = setTimeout(begin, 2000);
    });
    begin();
    return () => clearTimeout(timer);
  }, []);
  const route = useRoute();
  const place = PLACES.some(([name]) => name === route[0]) ? route[0] : 'containers';
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <header class="bar">
      <a class="brand" href=${link('containers')}><img src="/icon.svg" alt="" width="24" height="24" />remora</a>
      <nav aria-label="Views">
        ${PLACES.map(([name, title]) => html`<a key=${name} href=${link(name)} aria-current=${place === name ? 'page' : undefined}>${title}</a>`)}
      </nav>
      <${Status} state=${state} />
      <${Theme} />
    </header>
    <${Notice} state=${state} />
    <main id="main" tabindex="-1">
      ${state.kind === 'ended' ? html`<${Ended} why=${state.why} />` : session && html`<${View} place=${place} route=${route} changes=${session.changes} />`}
    </main>`;
}

// The address has routes behind its #, so the browser's own jump is made here.
function skip(event) {
  event.preventDefault();
  document.getElementById('main').focus();
}

function View({ place, route, changes }) {
  if (place === 'alerts') return route[1] ? html`<${Incident} key=${route[1]} id=${route[1]} />` : html`<${Alerts} />`;
  if (place === 'network') return html`<${Network} />`;
  if (place === 'tracers') return html`<${Tracers} changes=${changes} wanted=${route[1]} />`;
  if (route[1]) return html`<${Container} key=${route[1]} id=${route[1]} view=${route[2] ?? 'overview'} changes=${changes} />`;
  return html`<${Containers} />`;
}

function Status({ state }) {
  const words = { starting: 'connecting', ok: 'live', lost: 'not connected', ended: 'ended' };
  return html`<span class="status ${state.kind}" role="status"><span class="dot" aria-hidden="true"></span>${words[state.kind]}</span>`;
}

function Theme() {
  const [dark, setDark] = useState(isDark);
  const toggle = () => {
    toggleTheme();
    setDark(isDark());
  };
  return html`<button class="plain" type="button" onClick=${toggle} aria-label=${dark ? 'Use light colours' : 'Use dark colours'}>${dark ? '☀' : '☾'}</button>`;
}

// Says when the connection is lost, and for a while when it is back.
function Notice({ state }) {
  const [back, setBack] = useState(false);
  const before = useRef(state.kind);
  useEffect(() => {
    const regained = state.kind === 'ok' && before.current === 'lost';
    before.current = state.kind;
    setBack(regained);
    if (!regained) return undefined;
    const timer = setTimeout(() => setBack(false), GLAD);
    return () => clearTimeout(timer);
  }, [state.kind]);
  const lost = state.kind === 'lost';
  return html`<div role="alert" class="notice ${lost ? 'bad' : back ? 'good' : 'none'}">
    ${lost && html`<strong>Connection lost.</strong> ${state.why} What is shown is old; trying again …`}
    ${back && html`<strong>Connected again.</strong> Nothing that the daemon still had is missing.`}
  </div>`;
}

function Ended({ why }) {
  return html`<section class="card narrow">
    <h1>This page needs a link</h1>
    <p>${why}.</p>
    <p>On the node, run <code>remora web</code> and open the link that it prints. A link is good for one browser, and a session lasts as long as that command.</p>
  </section>`;
}
