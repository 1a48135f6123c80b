import { fail } from '../../base/errors.ts';
import type { RequestRecord } from '../record.ts';
import { type Convention, timings } from './timings.ts';

/** Limits in milliseconds that a good request keeps; a limit that is not set is kept by all. */
export interface Goals {
  readonly ttftMs?: number;
  readonly tpotMs?: number;
  readonly e2elMs?: number;
}

const KEYS = { ttft: 'ttftMs', tpot: 'tpotMs', e2el: 'e2elMs' } as const;

/** Reads `ttft:200`, `tpot:20`, `e2el:5000`. */
export function parseGoals(items: readonly string[]): Goals | undefined {
  if (items.length === 0) return undefined;
  const goals: { -readonly [K in keyof Goals]: Goals[K] } = {};
  for (const item of items) {
    const [key = '', limit = ''] = item.split(':');
    const name = KEYS[key as keyof typeof KEYS];
    const value = Number(limit.trim() === '' ? Number.NaN : limit);
    if (name === undefined || !(value >= 0)) {
      throw fail('KV_SETTING_INVALID', {
        setting: '--goodput',
        value: item,
        reason: name === undefined ? 'names no known goal' : 'has no limit in milliseconds',
        mend: 'Give KEY:MS with the keys ttft, tpot and e2el, as in ttft:200,tpot:20.',
      });
    }
    goals[name] = value;
  }
  return goals;
}

/** Whether a request completed within all goals. An answer of one token has no TPOT, which is good. */
export function isGood(record: RequestRecord, goals: Goals, convention: Convention): boolean {
  if (record.outcome !== 'completed') return false;
  const { ttftMs = Number.POSITIVE_INFINITY, tpotMs = 0, latencyMs } = timings(record, convention);
  return (
    ttftMs <= (goals.ttftMs ?? Number.POSITIVE_INFINITY) &&
    tpotMs <= (goals.tpotMs ?? Number.POSITIVE_INFINITY) &&
    latencyMs <= (goals.e2elMs ?? Number.POSITIVE_INFINITY)
  );
}
