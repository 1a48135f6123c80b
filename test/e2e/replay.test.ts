import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';

const PROGRAM = join(import.meta.dirname, '../../dist/bin/kvasir.js');
const TRACE = join(import.meta.dirname, '../golden/workload/mini.jsonl');
const folder = mkdtempSync(join(tmpdir(), 'kvasir-replay-e2e-'));

interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const replay = (...args: readonly string[]): Promise<Finished> =>
  new Promise((resolve) => {
    execFile(
      process.execPath,
      [PROGRAM, 'replay', ...args],
      { maxBuffer: 2 ** 26 },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      },
    );
  });

describe('kvasir replay', () => {
  afterAll(() => rmSync(folder, { recursive: true }));

  test('compares modes with and without sessions that keep their worker', async () => {
    const trace = join(folder, 'sessions.jsonl');
    // Each session on the worker that the others crowd: only affinity stays there.
    const turn = (timestamp: number, session_id: string, hash: number) => ({
      timestamp,
      session_id,
      input_length: 512,
      output_length: 64,
      hash_ids: [hash],
    });
    const rows = Array.from({ length: 40 }, (_, i) => turn(200 * i, `s${i % 4}`, i));
    writeFileSync(trace, rows.map((row) => JSON.stringify(row)).join('\n'));
    const dir = join(folder, 'affinity');
    const modes = ['--router-mode', 'round-robin,round-robin-affinity'];
    const { code } = await replay('--trace', trace, '--workers', '3', ...modes, '--output-dir', dir);
    expect(code).toBe(0);
    const workersOf = (mode: string): number => {
      const lines = readFileSync(join(dir, `${mode}-seed0.requests.jsonl`), 'utf8')
        .trim()
        .split('\n');
      const pairs = lines
        .map((line) => JSON.parse(line))
        .map((row) => `${row.session_id}/${row.decode_worker_idx}`);
      return new Set(pairs).size;
    };
    expect(workersOf('round-robin')).toBeGreaterThan(4);
    expect(workersOf('round-robin-affinity')).toBe(4);
  });

  test('compares modes over seeds, and writes the report and every request', async () => {
    const dir = join(folder, 'compare');
    const flags = ['--trace', TRACE, '--workers', '2', '--router-mode', 'round-robin,kv', '--seeds', '2'];
    const { code, stdout, stderr } = await replay(...flags, '--sla', 'ttft:600,itl:40', '--output-dir', dir);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const report = JSON.parse(stdout);
    expect(JSON.parse(readFileSync(join(dir, 'report.json'), 'utf8'))).toEqual(report);
    expect(report).toMatchObject({
      requests: 120,
      workers: 2,
      seeds: 2,
      speedup: 1,
      baseline: 'round-robin',
    });
    expect(report.modes.map(({ mode }: { mode: string }) => mode)).toEqual(['round-robin', 'kv']);
    expect(report.modes[1].figures.completed_requests).toEqual({ mean: 120, half_width: 0 });
    expect(report.modes[1].ratios_to_baseline.p95_ttft_ms.mean).toBeGreaterThan(0);
    const written = readdirSync(dir).sort();
    expect(written).toEqual([
      'kv-seed1.requests.jsonl',
      'kv-seed2.requests.jsonl',
      'report.json',
      'round-robin-seed1.requests.jsonl',
      'round-robin-seed2.requests.jsonl',
    ]);
    const rows = readFileSync(join(dir, 'kv-seed1.requests.jsonl'), 'utf8').trim().split('\n');
    expect(rows).toHaveLength(120);
    expect(JSON.parse(rows[0]!)).toMatchObject({ terminal_status: 'completed', admission_count: 1 });
  });

  test('gives the reference’s figures for the trace as it stands', async () => {
    const { stdout } = await replay('--trace', TRACE, '--workers', '1', '--router-mode', 'round-robin');
    const { figures } = JSON.parse(stdout).modes[0];
    expect(figures.duration_ms.mean).toBeCloseTo(8327.200828, 5);
    expect(figures.mean_ttft_ms.mean).toBeCloseTo(64.843694, 5);
    expect(figures.first_admission_prefix_cache_reused_ratio.mean).toBeCloseTo(0.508724, 6);
  });

  test('searches the speed-up that a mode keeps up with', async () => {
    const { stdout } = await replay(
      '--trace',
      TRACE,
      '--workers',
      '2',
      '--router-mode',
      'kv',
      '--find-capacity',
    );
    const [found] = JSON.parse(stdout).capacities;
    expect(found.mode).toBe('kv');
    expect(found.speedup).toBeGreaterThan(1);
    expect(found.requests_per_s).toBeGreaterThan(14);
  });

  test('says what is wrong with its input, and leaves nothing behind', async () => {
    const missing = await replay(
      '--trace',
      join(folder, 'none.jsonl'),
      '--output-dir',
      join(folder, 'never'),
    );
    expect(missing.code).toBe(1);
    expect(missing.stderr).toContain('none.jsonl');
    const mode = await replay('--trace', TRACE, '--router-mode', 'robin');
    expect((await replay('--trace', TRACE, '--router-mode', 'k-affinity')).stderr).toMatch(
      /Did you mean kv\?/,
    );
    expect(mode.code).toBe(2);
    expect(mode.stderr).toContain('round-robin');
    expect((await replay()).code).toBe(2);
    const half = await replay('--trace', TRACE, '--prefill-workers', '2');
    expect(half.stderr).toContain('--decode-workers');
    expect(existsSync(join(folder, 'never'))).toBe(false);
  });
});
