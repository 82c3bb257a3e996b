// Elements as tagged templates. Preact makes text nodes of what stands in them, and nothing here makes HTML of text.
import { h } from 'preact';
import htm from 'htm';

export const html = htm.bind(h);
