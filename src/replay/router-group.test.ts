import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { sharedFile } from '../../test/support/shared-data.ts';
import { engineSettings } from '../engine/engine-settings.ts';
import { POLYNOMIAL_TIMING } from '../engine/timing.ts';
import { parseTrace } from '../formats/traces/parse-trace.ts';
import { routerConfig } from '../kv/config.ts';
import { BlockHasher } from '../kv/hash.ts';
import { WasmIndex } from '../kv/index/wasm-index.ts';
import { ONE_ROUTER, type RouterGroupSpec } from './router-group.ts';
import { runReplay } from './run-replay.ts';
import { type Workload, workloadOf } from './workload.ts';

const parts = { hasher: new BlockHasher(), makeIndex: () => new WasmIndex() };
const TWO: RouterGroupSpec = { routers: 2, replicaSync: false, replicaDelayMs: 1 };
const SYNCED: RouterGroupSpec = { ...TWO, replicaSync: true };
const TRACE = sharedFile('data/traces/mooncake-conversation.jsonl.gz');
const SEEDS = [1, 2];

interface Figures {
  readonly kve: number;
  readonly ttftMs: number;
}

/** Mean over re-timings: stamps of a trace are coarse, and requests of one instant cannot see each other. */
async function figures(workload: Workload, group: RouterGroupSpec, workers: number): Promise<Figures> {
  let [kve, ttftMs] = [0, 0];
  for (const seed of SEEDS) {
    const { report } = await runReplay(
      {
        workload,
        group,
        seed,
        engine: engineSettings({ timing: POLYNOMIAL_TIMING }),
        topology: { kind: 'aggregated', workers, speeds: [] },
        router: routerConfig({ mode: 'kv' }),
        load: { speedup: 1, maxInFlight: undefined },
        sla: undefined,
        maxSimTimeMs: undefined,
      },
      parts,
    );
    kve += report.first_admission_prefix_cache_reused_ratio! / SEEDS.length;
    ttftMs += report.mean_ttft_ms! / SEEDS.length;
  }
  return { kve, ttftMs };
}

describe('routers that share their bookings', () => {
  test.skipIf(TRACE === undefined)('place a conversation trace as one router does', async () => {
    const source = gunzipSync(readFileSync(TRACE!)).toString().split('\n').slice(0, 1500).join('\n');
    const workload = workloadOf(parseTrace(source));
    const one = await figures(workload, ONE_ROUTER, 8);
    const synced = await figures(workload, SYNCED, 8);
    const apart = await figures(workload, TWO, 8);
    // The bound that docs/guides/scale-out.md states.
    expect(synced.kve).toBeGreaterThan(0.95 * one.kve);
    expect(synced.ttftMs).toBeLessThan(1.05 * one.ttftMs);
    expect(synced.ttftMs).toBeLessThan(apart.ttftMs);
  });

  test('place requests of a small trace as one router does', async () => {
    const golden = new URL('../../test/golden/workload/mini.jsonl', import.meta.url);
    const workload = workloadOf(parseTrace(readFileSync(golden, 'utf8')));
    const one = await figures(workload, ONE_ROUTER, 3);
    const synced = await figures(workload, { ...SYNCED, replicaDelayMs: 0 }, 3);
    expect(synced.kve).toBeGreaterThan(0.95 * one.kve);
    expect(synced.ttftMs).toBeLessThan(1.05 * one.ttftMs);
  });
});
