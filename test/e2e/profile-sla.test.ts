import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../src/base/random.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { journalKeys, profileFolder, SMALL, statusOf } from '../support/profile-sla.ts';

const KILLS = 10;

/** The program with the small settings, and long answers so that points take a while. */
function start(outputDir: string, deployment: string, extra: readonly string[] = []): KvasirProcess {
  const flags = Object.entries({ ...SMALL, osl: 400, decodeInterpolationGranularity: 4 }).flatMap(
    ([name, value]) => {
      const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      return value === false ? [`--no-${flag}`] : [`--${flag}`, String(value)];
    },
  );
  return new KvasirProcess([
    ...['profile', 'sla', '--config', deployment, '--output-dir', outputDir, '--ttft', '100', '--itl', '20'],
    ...flags,
    ...extra,
  ]);
}

function measured(outputDir: string): number {
  try {
    return journalKeys(outputDir).length;
  } catch {
    return 0;
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('a profile that is cut short', () => {
  test('ends byte-identical after ten kills, with no point measured twice', async () => {
    const { dir, deployment } = profileFolder();
    const whole = join(dir, 'whole');
    const first = start(whole, deployment);
    expect(await first.exitCode()).toBe(0);
    const total = measured(whole);
    expect(total).toBeGreaterThan(20);

    const killed = join(dir, 'killed');
    const random = new SeededRandom(7);
    for (let kill = 0; kill < KILLS; kill++) {
      const run = start(killed, deployment);
      // Anywhere from before the first point to the writing of the results.
      const goal = Math.round((total * (kill + random.next())) / (KILLS - 1));
      const deadline = performance.now() + 60_000;
      while (measured(killed) < Math.min(goal, total) && performance.now() < deadline) await pause(1);
      await pause(random.next() * 30);
      await run.kill();
    }
    const last = start(killed, deployment);
    const summary = await last.json();
    expect(await last.exitCode()).toBe(0);

    for (const role of ['prefill', 'decode']) {
      const npz = (outputDir: string): Buffer =>
        readFileSync(join(outputDir, `selected_${role}_interpolation`, 'raw_data.npz'));
      expect(npz(killed).equals(npz(whole))).toBe(true);
    }
    const keys = journalKeys(killed);
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys.toSorted()).toEqual(journalKeys(whole).toSorted());
    const { points } = summary as { points: { measured: number; reused: number } };
    expect(points.measured + points.reused).toBe(total);
    // Nor is anything left of files that a kill cut short.
    expect(readdirSync(killed, { recursive: true }).toSorted()).toEqual(
      readdirSync(whole, { recursive: true }).toSorted(),
    );
  });

  test('says on SIGINT how to go on, and exits 1', async () => {
    const { dir, deployment } = profileFolder();
    const outputDir = join(dir, 'results');
    const run = start(outputDir, deployment, ['--osl', '2000']);
    while (measured(outputDir) < 1) await pause(1);
    run.signal('SIGINT');
    expect(await run.exitCode()).toBe(1);
    expect(run.stderr).toContain('Stopped by SIGINT. What was measured is kept: run the same command again');
    expect(statusOf(outputDir)).toMatch(/^status: failed\n/);
  });
});

describe('kvasir profile sla', () => {
  test('prints its lines on stderr as in the log file, and JSON on stdout', async () => {
    const { dir, deployment } = profileFolder();
    const outputDir = join(dir, 'results');
    const run = start(outputDir, deployment);
    const summary = await run.json();
    expect(await run.exitCode()).toBe(0);
    expect(summary.sla_met).toBe(true);
    expect(run.stderr).toBe(readFileSync(join(outputDir, 'profile_sla.log'), 'utf8'));
    expect(run.stderr).toMatch(
      /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - __main__ - INFO - Suggested prefill TP:\d+ \(TTFT [\d.]+ ms, throughput [\d.]+ tokens\/s\/GPU\)$/m,
    );
  });

  test('measures engines that it starts itself', async () => {
    const { dir, deployment } = profileFolder();
    const outputDir = join(dir, 'results');
    const program = join(import.meta.dirname, '../../dist/bin/kvasir.js');
    const engine = `${process.execPath} ${program} worker --http-port {port} --num-gpu-blocks {gpus}00 --timing fixed:100,4`;
    const run = start(outputDir, deployment, [
      ...['--target', 'local', '--engine-command', engine, '--max-repeats', '1', '--osl', '100'],
      ...['--max-num-gpus-per-engine', '1', '--decode-interpolation-granularity', '1'],
    ]);
    const { prefill, decode, points } = (await run.json()) as Record<string, Record<string, number>>;
    expect(await run.exitCode()).toBe(0);
    expect(points!.failed).toBe(0);
    expect(decode!.max_kv_tokens).toBe(100 * 64);
    expect(prefill!.ttft_ms).toBeGreaterThan(99);
    expect(prefill!.ttft_ms).toBeLessThan(150);
    expect(decode!.itl_ms).toBeGreaterThan(4 * 0.9);
    expect(decode!.itl_ms).toBeLessThan(4 * 1.2);
  });

  test.each([
    [['--isl', 'many'], 2, '--isl'],
    [['--islands', '3'], 2, "unknown option '--islands'"],
    [['--backend', 'llama'], 2, '--backend'],
    [['--max-context-length', '300'], 2, 'leaves no room for the probes'],
    [['--config', '/nowhere.yaml'], 2, '/nowhere.yaml'],
    [['--target', 'endpoint', '--endpoint', 'tp1=http://127.0.0.1:9'], 1, 'cannot be reached'],
  ])('ends %j with exit code %d and says why', async (extra, exitCode, message) => {
    const { dir, deployment } = profileFolder();
    const run = start(join(dir, 'results'), deployment, extra);
    expect(await run.exitCode()).toBe(exitCode);
    expect(run.stderr).toContain(message);
  });
});
