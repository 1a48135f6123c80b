import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KvasirProcess } from '../support/kvasir-process.ts';

const PROGRAM = join(import.meta.dirname, '../../dist/bin/kvasir.js');
const DEMO = join(import.meta.dirname, '../../assets/traces/demo.jsonl');
const folder = mkdtempSync(join(tmpdir(), 'kvasir-bench-e2e-'));
// Lag depends on what else the machine does: what is tested here is all but that.
const PATIENT = ['--send-lag-limit-ms', '2000'];

interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const kvasir = (args: readonly string[], stdin?: string): Promise<Finished> =>
  new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [PROGRAM, ...args],
      { maxBuffer: 2 ** 26 },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      },
    );
    child.stdin?.end(stdin);
  });

afterAll(() => rmSync(folder, { recursive: true }));

describe('kvasir bench', () => {
  let worker: KvasirProcess;
  let url = '';

  beforeAll(async () => {
    worker = new KvasirProcess(['worker', '--engine', 'sim', '--http-port', '0', '--speedup-ratio', '20']);
    url = String((await worker.json()).url);
  });

  afterAll(() => worker.kill());

  test('drives an engine closed loop, prints one JSON object and writes every file', async () => {
    const dir = join(folder, 'closed');
    const flags = [
      '--concurrency',
      '4',
      '--isl',
      '300',
      '--osl',
      '10',
      '--requests',
      '40',
      '--goodput',
      'ttft:9000,tpot:9000',
    ];
    const { code, stdout, stderr } = await kvasir(['bench', '--url', url, ...flags, '--output-dir', dir]);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      completed: 40,
      failed: 0,
      loop: 'closed',
      prompt: 'token-ids',
      prompt_length_exact_share: 1,
      total_input_tokens: 12_000,
      total_output_tokens: 400,
      good_share: 1,
      kve: 0,
    });
    expect(readdirSync(dir)).toHaveLength(8);
    const csv = readFileSync(join(dir, 'profile_export_aiperf.csv'), 'utf8');
    expect(csv).toContain('Output Sequence Length (tokens),10.00,10.00,10.00');
  });

  test('replays the shipped trace in every prompt form with exact lengths and the reuse that the trace has', async () => {
    for (const form of [
      ['--prompt', 'token-ids'],
      ['--prompt', 'text', '--seed', '5'],
    ]) {
      const flags = ['--trace', DEMO, '--requests', '40', '--speedup', '8', ...form, ...PATIENT];
      const { code, stdout } = await kvasir(['bench', '--url', url, ...flags]);
      const summary = JSON.parse(stdout);
      expect(code).toBe(0);
      expect(summary).toMatchObject({
        completed: 40,
        prompt_length_exact_share: 1,
        prompt_length_mean_error: 0,
        speedup: 8,
      });
      // One worker with room for all: only the tails of blocks, 64 against 512 tokens, differ from the bound.
      expect(summary.kve).toBeGreaterThan(summary.theoretical_kve - 0.03);
      expect(summary.kve).toBeLessThanOrEqual(summary.theoretical_kve + 0.03);
    }
  });

  test('takes the flags of vLLM and writes its file', async () => {
    const flags = [
      '--base-url',
      url,
      '--backend',
      'openai-chat',
      '--num-prompts',
      '10',
      '--request-rate',
      'inf',
      '--max-concurrency',
      '5',
    ];
    const save = [
      '--save-result',
      '--save-detailed',
      '--result-dir',
      folder,
      '--result-filename',
      'r.json',
      '--metadata',
      'gpu=none',
    ];
    const lengths = [
      '--random-input-len',
      '50',
      '--random-output-len',
      '4',
      '--percentile-metrics',
      'ttft,e2el',
    ];
    const { code } = await kvasir(['bench', ...flags, ...save, ...lengths]);
    expect(code).toBe(0);
    const result = JSON.parse(readFileSync(join(folder, 'r.json'), 'utf8'));
    expect(result).toMatchObject({
      completed: 10,
      gpu: 'none',
      request_rate: 'inf',
      max_concurrency: 5,
      backend: 'openai-chat',
    });
    expect(result.ttfts).toHaveLength(10);
    expect(result.generated_texts[0].length).toBeGreaterThan(0);
    expect(result).toHaveProperty('p99_e2el_ms');
    expect(result).not.toHaveProperty('mean_tpot_ms');
  });

  test('exits 1 when requests failed and 2 on wrong usage, with the reason', async () => {
    const base = ['bench', '--url', url, '--requests', '3', '--isl', '50', '--osl', '2'];
    const failed = await kvasir([...base, '--endpoint', '/v1/nowhere']);
    expect(failed.code).toBe(1);
    expect(JSON.parse(failed.stdout)).toMatchObject({
      completed: 0,
      failed: 3,
      valid: false,
      mean_ttft_ms: null,
    });
    expect(JSON.parse(failed.stdout).errors[0].message).toContain('HTTP 404');
    const wrong = await kvasir([...base, '--arrival', 'gamma']);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('--arrival gamma needs a rate');
    const absent = await kvasir(['bench', '--url', 'http://127.0.0.1:9', '--ready-check-timeout-sec', '0']);
    expect(absent.code).toBe(1);
    expect(absent.stderr).toContain('connection refused');
  });

  test('gives what it has when it is interrupted', async () => {
    const served = async (): Promise<number> => {
      const metrics = await (await fetch(`${url}/metrics`)).text();
      return Number(/^vllm:request_success_total\{.*finished_reason="length".*\} (\d+)/m.exec(metrics)?.[1]);
    };
    const before = await served();
    const flags = ['--url', url, '--rate', '20', '--requests', '2000', '--isl', '50', '--osl', '2'];
    const child = spawn(process.execPath, [PROGRAM, 'bench', ...flags], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    const deadline = Date.now() + 60_000;
    while ((await served()) < before + 5 && Date.now() < deadline) await new Promise(setImmediate);
    child.kill('SIGINT');
    const [code] = (await once(child, 'exit')) as [number];
    const summary = JSON.parse(stdout);
    expect(code).toBe(1);
    expect(summary).toMatchObject({ interrupted: true, planned: 2000, failed: 0 });
    expect(summary.completed).toBeGreaterThan(0);
    expect(summary.completed).toBeLessThan(2000);
  });
});

describe('kvasir bench report', () => {
  test('values shards of one schedule together, from their raw records', async () => {
    const worker = new KvasirProcess([
      'worker',
      '--engine',
      'sim',
      '--http-port',
      '0',
      '--speedup-ratio',
      '20',
    ]);
    try {
      const url = String((await worker.json()).url);
      const dirs = [0, 1].map((shard) => join(folder, `shard${shard}`));
      const load = ['--url', url, '--trace', DEMO, '--requests', '30', '--speedup', '10', ...PATIENT];
      const startIn = (secs: number) => {
        const flags = [...load, '--start-at', String(Math.ceil(Date.now() / 1000) + secs)];
        return Promise.all(
          dirs.map((dir, i) => kvasir(['bench', ...flags, '--shard', `${i}/2`, '--output-dir', dir])),
        );
      };
      let codes = await startIn(6);
      // A busy machine may start them too late for that.
      if (codes.some(({ stderr }) => stderr.includes('--start-at'))) codes = await startIn(40);
      expect(codes.map(({ code, stderr }) => [code, stderr])).toEqual([
        [0, ''],
        [0, ''],
      ]);
      const records = dirs.flatMap((dir) => ['--records', join(dir, 'records.jsonl')]);
      const { code, stdout } = await kvasir([
        'bench',
        'report',
        ...records,
        '--goodput',
        'ttft:1',
        ...PATIENT,
      ]);
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        ...{ planned: 30, completed: 30, prompt_length_exact_share: 1, speedup: 10, good_share: 0 },
        model_id: 'kvasir-sim',
      });
    } finally {
      await worker.kill();
    }
  });
});

describe('kvasir trace', () => {
  test('analyses and synthesises from files and stdin', async () => {
    const analysis = await kvasir(['trace', 'analyze', '--input-file', DEMO]);
    expect(JSON.parse(analysis.stdout)).toMatchObject({ requests: 176, blockSize: 512 });
    const made = await kvasir(
      ['trace', 'synthesize', '--input-file', '-', '--num-requests', '30', '--max-isl', '4000'],
      readFileSync(DEMO, 'utf8'),
    );
    const rows = made.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(made.code).toBe(0);
    expect(rows).toHaveLength(30);
    for (const row of rows) {
      expect(row.input_length).toBeLessThanOrEqual(4000);
      expect(row.context_len + row.unique_user_prompt_len).toBe(row.input_length);
    }
    const nothing = await kvasir(['trace', 'analyze']);
    expect([nothing.code, nothing.stderr]).toEqual([2, expect.stringContaining('a trace is needed')]);
  });
});
