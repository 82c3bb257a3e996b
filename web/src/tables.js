// Tables that a container's tracers keep.
import { usePoll } from './poll.js';
import { json } from './session.js';

const EVERY = 3000;
const ROWS = 2000;

// Which there are, and rows of those that say who is talked to and where is listened.
export function useTables(target, container) {
  const { data } = usePoll(async (signal) => {
    const list = await json(`${target}/tables`, { signal }).catch(none);
    const rows = async (table) => table && (await json(`${target}/tables/${table.name}?limit=${ROWS}`, { signal }).catch(none)).rows;
    return {
      list,
      flows: await rows(list.find?.((table) => table.flow)),
      listening: await rows(list.find?.((table) => table.name === 'listening')),
    };
  }, EVERY, `${target} ${container.state} ${container.tracers.join()}`);
  return data ?? {};
}

// A table that has gone is as one that never was; a lost connection is not.
function none(error) {
  if (!error.status) throw error;
  return [];
}
