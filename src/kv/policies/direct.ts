import type { Policy } from './policy.ts';

/** Only where the caller says. */
export function directPolicy(): Policy {
  return {
    name: 'direct',
    reads: 'nothing',
    choose: (request) => (request.pinned ? 0 : -1),
  };
}
