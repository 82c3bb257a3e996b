// What is asked for again and again, while somebody looks.
import { useEffect, useState } from 'preact/hooks';
import { json } from './session.js';

// `ask` gets a signal; `every` is in milliseconds. Data stay while newer ones are missing.
export function usePoll(ask, every, key) {
  const [result, setResult] = useState({});
  useEffect(() => {
    const end = new AbortController();
    let timer;
    setResult({});
    const turn = async () => {
      if (!document.hidden) {
        try {
          const data = await ask(end.signal);
          if (!end.signal.aborted) setResult({ data });
        } catch (error) {
          if (!end.signal.aborted) setResult((before) => ({ ...before, error }));
        }
      }
      if (!end.signal.aborted) timer = setTimeout(turn, every);
    };
    turn();
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  }, [key, every]);
  return result;
}

export function useJson(target, every) {
  return usePoll((signal) => json(target, { signal }), every, target);
}
