// How complete the account of a container is, in one word.
import { count } from './format.js';

const LOST = ['lost_full', 'lost_share', 'lost_other', 'lost_budget'];

export function lost(counts) {
  return LOST.reduce((sum, key) => sum + (counts[key] ?? 0), 0);
}

export function totals(ledger) {
  const all = Object.values(ledger.tracers);
  return {
    counted: all.reduce((sum, c) => sum + c.counted, 0),
    delivered: all.reduce((sum, c) => sum + c.delivered, 0),
    lost: all.reduce((sum, c) => sum + lost(c), 0),
  };
}

export function account(ledger) {
  const { lost: missing } = totals(ledger);
  if (missing) return { word: `${count(missing)} lost`, kind: 'bad', rank: 2 };
  if (ledger.late) return { word: 'seen late', kind: 'warn', rank: 1 };
  return { word: 'complete', kind: 'good', rank: 0 };
}
