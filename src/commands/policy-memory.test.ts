import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { SILENT_LOG } from '../base/log.ts';
import { SeededRandom } from '../base/random.ts';
import { makePolicy } from '../kv/policies/make-policy.ts';
import { chooseFrom, requestOf, tableOf } from '../kv/policies/policy.conformance.ts';
import { PolicyFileMetrics } from '../metrics/policy-file-metrics.ts';
import { ProcessMetrics } from '../metrics/process-metrics.ts';
import { type Learner, PolicyMemory } from './policy-memory.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'memory-'));
});
afterEach(() => rm(folder, { recursive: true }));

const clock = () => new VirtualClock({ wallOriginMs: Date.UTC(2026, 0, 1) });

/** A router as far as its policy's memory goes, and what was taught. */
function learner(wallMs: number, lessons = 0): Learner & { fast(): number } {
  const policy = makePolicy('thompson', { blockSize: 16, random: new SeededRandom(1), clock: clock() });
  policy.rankAdded?.(0, 'fast/0');
  policy.rankAdded?.(1, 'slow/0');
  const table = tableOf([{ rank: 0 }, { rank: 1 }]);
  for (let decision = 0; decision < lessons; decision++) {
    const { row } = chooseFrom(policy, table, requestOf(), decision);
    const latencyMs = row === 0 ? 500 : 2500;
    policy.learn?.({ decision, rank: row, outcome: 'success', latencyMs, outputTokens: 50 });
  }
  return {
    policyState: () => policy.state?.(wallMs),
    restorePolicy: (state) => policy.restore?.(state, wallMs),
    fast() {
      let count = 0;
      const asked = requestOf({ queryOnly: true });
      for (let i = 0; i < 100; i++) count += chooseFrom(policy, table, asked, 1e6 + i).row === 0 ? 1 : 0;
      return count;
    },
  };
}

async function open(path: string, at = clock()) {
  const process = new ProcessMetrics({ clock: at, log: SILENT_LOG, version: 'current', instanceId: 1n });
  const metrics = new PolicyFileMetrics(process);
  const memory = await PolicyMemory.open({ path, everyMs: 60_000, clock: at, log: SILENT_LOG, metrics });
  return { memory, text: async () => Buffer.from((await process.scrape(undefined)).body).toString(), at };
}

describe('the memory of policies', () => {
  test('what was learned survives a restart', async () => {
    const path = join(folder, 'new', 'state.json');
    const first = await open(path);
    first.memory.join('m/decode', learner(1000, 400));
    await first.memory.stop();
    const second = await open(path);
    const next = learner(1000);
    expect(next.fast()).toBeLessThan(80);
    second.memory.join('m/decode', next);
    expect(next.fast()).toBeGreaterThan(90);
    await second.memory.stop();
    expect(await readdir(join(folder, 'new'))).toEqual(['state.json']);
  });

  test('it is written now and then, whole', async () => {
    const path = join(folder, 'state.json');
    const { memory, at, text } = await open(path);
    memory.join('m/decode', learner(0, 5));
    at.advanceTo(60_000);
    await memory.save();
    expect(JSON.parse(await readFile(path, 'utf8')).schema).toBe('kvasir.policy-state');
    expect(await text()).toMatch(/kvasir_policy_state_saves_total\{result="success"\} [12]/);
    await memory.stop();
  });

  test('models whose workers have not come back keep theirs', async () => {
    const path = join(folder, 'state.json');
    const first = await open(path);
    first.memory.join('a/decode', learner(0, 5));
    first.memory.join('b/decode', learner(0, 5));
    await first.memory.stop();
    const before = JSON.parse(await readFile(path, 'utf8')).policies;
    const second = await open(path);
    second.memory.join('a/decode', learner(0));
    await second.memory.stop();
    expect(JSON.parse(await readFile(path, 'utf8')).policies).toEqual(before);
  });

  test.each([
    ['cut off', '{"schema":"kvasir.policy-st'],
    ['of something else', '{"name":"x"}'],
    ['binary', '\u0000\u0001'],
    [
      'of a policy with other parameters',
      JSON.stringify({ schema: 'kvasir.policy-state', version: 1, policies: { 'm/decode': { lambda: 7 } } }),
    ],
  ])('a file %s is refused and kept aside', async (_, content) => {
    const path = join(folder, 'state.json');
    await writeFile(path, content);
    const { memory, text } = await open(path);
    memory.join('m/decode', learner(0, 5));
    await memory.stop();
    const files = (await readdir(folder)).sort();
    expect(files).toEqual(['state.json', 'state.json.refused-2026-01-01T000000.000Z']);
    expect(await readFile(join(folder, files[1]!), 'utf8')).toBe(content);
    expect(JSON.parse(await readFile(path, 'utf8')).policies['m/decode'].schema).toBe('kvasir.thompson');
    expect(await text()).toContain('kvasir_policy_state_refused_total 1');
  });

  test('policies that do not learn leave no file', async () => {
    const path = join(folder, 'state.json');
    const { memory } = await open(path);
    memory.join('m/decode', { policyState: () => undefined, restorePolicy: () => {} });
    await memory.stop();
    expect(await readdir(folder)).toEqual([]);
  });
});
