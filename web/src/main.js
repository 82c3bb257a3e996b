import './locale.js';
import { render } from 'preact';
import { App } from './app.js';
import { html } from './html.js';
import { restoreTheme } from './theme.js';

restoreTheme();
render(html`<${App} />`, document.getElementById('app'));
