import { type Clock, sleepUntil } from '../../base/clock.ts';
import { fail } from '../../base/errors.ts';
import type { LoadPlan } from '../plan.ts';

/** The part of a plan that shard `I/N` sends: every N-th session. The due times stay, so shards add up to the plan. */
export function shardOf(plan: LoadPlan, shard: string | undefined): LoadPlan {
  if (shard === undefined) return plan;
  const match = /^(\d+)\/(\d+)$/.exec(shard);
  const [index, count] = [Number(match?.[1]), Number(match?.[2])];
  if (!(index < count)) {
    throw fail('KV_SETTING_INVALID', {
      setting: '--shard',
      value: shard,
      reason: 'is not a shard',
      mend: 'Give I/N with I from 0 to N-1, as in 0/4.',
    });
  }
  const { sessions, concurrency, maxInFlight } = plan;
  // What limits the whole is parted, too; the first shards take the remainder.
  const part = (whole: number): number => Math.max(1, Math.floor((whole + count - 1 - index) / count));
  return {
    ...plan,
    sessions: sessions.filter((_, i) => i % count === index),
    concurrency: concurrency === undefined ? undefined : part(concurrency),
    maxInFlight: maxInFlight === undefined ? undefined : part(maxInFlight),
  };
}

/** Waits for the common start of all shards; an instant that has passed is an error, for the shards would not agree. */
export async function awaitStart(
  epochS: number | undefined,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  if (epochS === undefined) return;
  const waitMs = epochS * 1000 - clock.wallMs();
  if (waitMs < 0) {
    throw fail('KV_SETTING_INVALID', {
      setting: '--start-at',
      value: epochS,
      reason: `passed ${(-waitMs / 1000).toFixed(1)} s ago`,
      mend: 'Give an instant some seconds ahead, as in $(($(date +%s) + 10)).',
    });
  }
  await sleepUntil(clock, clock.nowMs() + waitMs, signal);
}
