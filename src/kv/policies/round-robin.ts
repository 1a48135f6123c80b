import type { Policy } from './policy.ts';

/** Each candidate in turn. */
export function roundRobinPolicy(): Policy {
  let turn = 0;
  return {
    name: 'round-robin',
    reads: 'nothing',
    choose: (_request, candidates) => {
      const row = turn % candidates.count;
      turn = (turn + 1) % Number.MAX_SAFE_INTEGER;
      return row;
    },
  };
}
