import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { goldenText } from '../../test/support/golden-traces.ts';
import { Workers } from '../../test/support/workers.ts';
import { createLog } from '../base/log.ts';
import { resolveSettings } from '../base/settings.ts';
import { command } from './sizing-calc.ts';

const TARGETS = { targetLlmLatency: '10', targetUsers: '100', testGpuCount: '8' };

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sizing-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

async function calc(
  flags: Readonly<Record<string, unknown>>,
  interactive = false,
  stopsAfterTwo = false,
): Promise<string> {
  const lines: string[] = [];
  const stop = new AbortController();
  const settings = resolveSettings(command.settings, {
    env: {},
    flags: { calcOutputDir: join(dir, 'out'), ...flags },
  });
  const code = await command.run(settings, {
    // One line a level: after the second one the test may stop.
    log: Object.create(createLog('silent'), {
      info: { value: ({ concurrency }: { concurrency?: number }) => concurrency === 2 && stop.abort() },
    }),
    logLevel: 'silent',
    signal: stopsAfterTwo ? stop.signal : new AbortController().signal,
    interactive,
    print: (line) => void lines.push(line),
  });
  expect(code).toBe(0);
  return lines.join('\n');
}

const level = (latency: number, runtime: number, interrupted = false) => ({
  gpu_estimates: {},
  alerts: {},
  sizing_metrics: {
    alerts: { workflow_interrupted: interrupted },
    llm_latency_p95: latency,
    workflow_runtime_p95: runtime,
    total_runtime: 2 * runtime,
    per_item_metrics: { 0: { llm_latency: latency, workflow_runtime: runtime } },
  },
});

function output(name: string, levels: object, key = 'calc_data'): string {
  const path = join(dir, `${name}.json`);
  writeFileSync(path, JSON.stringify({ [key]: levels }));
  return path;
}

const jobs = (mode: string): string[] => readdirSync(join(dir, 'out', mode));

describe('kvasir sizing calc', () => {
  test('sizes from traces and writes the job with its charts', async () => {
    for (const workflow of ['a', 'b'])
      writeFileSync(join(dir, `${workflow}.json`), goldenText(`${workflow}.input.json`));
    const runs = [`1=${join(dir, 'a.json')}`, `4=${join(dir, 'b.json')}`];
    const printed = JSON.parse(await calc({ run: runs, ...TARGETS }));
    expect(Object.keys(printed.calc_data)).toEqual(['1', '4']);
    // The figures of the golden profiles: p95 of all run times of workflow a.
    expect(printed.calc_data['1'].sizing_metrics.workflow_runtime_p95).toBeCloseTo(6.125, 9);
    const written = readdirSync(printed.job_dir).sort();
    expect(written).toContain('calc_runner_output.json');
    for (const name of ['concurrency_vs_p95_simple', 'concurrency_vs_p95_analysis']) {
      expect(
        readFileSync(join(printed.job_dir, `${name}.png`))
          .subarray(1, 4)
          .toString(),
      ).toBe('PNG');
      expect(written).toContain(`${name}.svg`);
    }
    const file = JSON.parse(readFileSync(join(printed.job_dir, 'calc_runner_output.json'), 'utf8'));
    expect(Object.keys(file.calc_data['4'].sizing_metrics.per_item_metrics)).toEqual(['0', '1']);
  });

  test('calculates again from all jobs, of each concurrency the newest', async () => {
    const first = output('first', { 1: level(1, 2), 2: level(9, 9) }, 'per_concurrency_data');
    const second = output('second', { 2: level(2, 4), 4: level(4, 8) });
    await calc({ run: [first], appendCalcOutputs: true });
    const [old] = jobs('online');
    utimesSync(join(dir, 'out/online', old!, 'calc_runner_output.json'), 1000, 1000);
    await calc({ run: [second], appendCalcOutputs: true });
    writeFileSync(join(dir, 'out/online', old!, 'other.json'), '{');
    const { calc_data: rows, targets } = JSON.parse(await calc({ offlineMode: true, ...TARGETS }));
    expect(Object.keys(rows).map((c) => [c, rows[c].sizing_metrics.llm_latency_p95])).toEqual([
      ['1', 1],
      ['2', 2],
      ['4', 4],
    ]);
    // A second at each concurrency: 10 s are met up to 10.
    expect(targets.llm_latency).toMatchObject({ status: 'estimated', gpus: 80 });
    expect(jobs('offline')).toHaveLength(1);
    expect(jobs('online')).toHaveLength(2);
  });

  test('a new job replaces those of its kind unless it appends, once it is written', async () => {
    const run = [output('levels', { 1: level(1, 2), 2: level(2, 4) })];
    await calc({ run, appendCalcOutputs: true });
    await calc({ run, appendCalcOutputs: true });
    expect(jobs('online')).toHaveLength(2);
    await calc({ run });
    expect(jobs('online')).toHaveLength(1);
    await expect(calc({ run: [join(dir, 'none.json')] })).rejects.toThrow('cannot read');
    expect(jobs('online')).toHaveLength(1);
  });

  test('leaves out a broken job with a warning, or fails', async () => {
    await calc({ run: [output('levels', { 1: level(1, 2), 2: level(2, 4) })], appendCalcOutputs: true });
    await calc({ run: [output('more', { 8: level(8, 9), 9: level(9, 9) })], appendCalcOutputs: true });
    const broken = jobs('online').find((name) =>
      readFileSync(join(dir, 'out/online', name, 'calc_runner_output.json'), 'utf8').includes('"8"'),
    );
    writeFileSync(join(dir, 'out/online', broken!, 'calc_runner_output.json'), '{"calc_data": {"8"');
    const { calc_data: rows } = JSON.parse(await calc({ offlineMode: true, ...TARGETS }));
    expect(Object.keys(rows)).toEqual(['1', '2']);
    await expect(calc({ offlineMode: true, onFault: 'fail', ...TARGETS })).rejects.toThrow('is not JSON');
  });

  test('shows people a table with alerts, and what each target needs', async () => {
    const rows = Array.from({ length: 10 }, (_, i) => [i + 1, level(i === 6 ? 40 : i + 1, i + 4)]);
    const levels = { ...Object.fromEntries(rows), 11: level(1, 1, true) };
    const table = await calc(
      { run: [output('levels', levels)], targetWorkflowRuntime: '1', ...TARGETS },
      true,
    );
    expect(table).toMatch(/Alerts +Concurrency +p95 LLM Latency +p95 WF Runtime +Total Runtime/);
    expect(table).toMatch(/^ *L +7 /m);
    expect(table).toMatch(/^ *!W +11 /m);
    expect(table).toContain('p95 LLM latency <= 10 s for 100 users: 80 GPUs');
    expect(table).toContain(
      'p95 workflow runtime <= 1 s for 100 users: unreachable, even one request at a time',
    );
  });

  test.each([
    [
      'a text for a number',
      { 4: { sizing_metrics: { ...level(1, 2).sizing_metrics, llm_latency_p95: 'fast' } } },
      'calc_data.4.sizing_metrics.llm_latency_p95 is "fast" (expected number, received string)',
    ],
    [
      'a missing number',
      { 4: { sizing_metrics: { llm_latency_p95: 1 } } },
      'calc_data.4.sizing_metrics.workflow_runtime_p95 is missing',
    ],
    ['a negative one', { 4: level(-1, 2) }, 'calc_data.4.sizing_metrics.llm_latency_p95 is -1'],
    ['no concurrency', { many: level(1, 2) }, 'calc_data.many is no concurrency'],
    ['nothing', {}, 'calc_data is empty'],
    ['a list', [], 'calc_data is [] (expected record, received array)'],
  ])('says where an earlier output is wrong: %s', async (_, levels, reason) => {
    const path = output('levels', levels);
    await expect(calc({ run: [path] })).rejects.toThrow(`${path}: ${reason}`);
  });

  test.each([
    [{}, 'nothing to size from'],
    [{ offlineMode: true, endpoint: 'http://127.0.0.1:1' }, 'more than one source'],
    [{ offlineMode: true }, '--offline-mode needs targets'],
    [{ offlineMode: true, ...TARGETS }, 'the folder holds no online/job_*'],
    [{ endpoint: 'http://127.0.0.1:1', concurrencies: '4' }, 'holds fewer than two concurrencies'],
    [{ endpoint: 'http://127.0.0.1:1', concurrencies: '4,4' }, 'repeats a concurrency'],
    [{ endpoint: 'http://127.0.0.1:1', concurrencies: '4,0' }, 'no whole number from 1 up'],
  ])('refuses %j', async (flags, reason) => {
    await expect(calc(flags)).rejects.toThrow(reason);
  });
});

describe('sizing against an endpoint', () => {
  const workers = new Workers();
  afterEach(() => workers.stopAll());

  test('runs each session call by call at each concurrency, and counts a session as a run of the workflow', async () => {
    const worker = await workers.start();
    const trace = join(dir, 'trace.jsonl');
    const row = (session: string, turn: number) =>
      JSON.stringify({
        session_id: session,
        ...(turn === 0 ? { timestamp: 0 } : { delay: 20 }),
        ...{ input_length: 20 + turn, output_length: 4, hash_ids: [turn] },
      });
    writeFileSync(trace, ['x', 'y', 'z'].flatMap((id) => [row(id, 0), row(id, 1)]).join('\n'));
    const printed = JSON.parse(await calc({ endpoint: worker.url, concurrencies: '1,2', trace, ...TARGETS }));
    // Three sessions fill one place evenly, and two places only with a fourth.
    expect([printed.calc_data['1'].items, printed.calc_data['2'].items]).toEqual([3, 4]);
    const { llm_latency_p95: latency, workflow_runtime_p95: runtime } = printed.calc_data['1'].sizing_metrics;
    expect(latency).toBeGreaterThan(0);
    // Two calls and the 20 ms between them.
    expect(runtime).toBeGreaterThan(latency + 0.02);
    expect(printed.calc_data['1'].sizing_metrics.alerts.workflow_interrupted).toBe(false);
  });

  test('interrupted, sizes from the levels that it has', async () => {
    const worker = await workers.start();
    const flags = { endpoint: worker.url, concurrencies: '1,2,4', sessions: '2', turns: '1', thinkTime: '0' };
    const printed = JSON.parse(await calc(flags, false, true));
    expect(Object.keys(printed.calc_data)).toEqual(['1', '2']);
  });

  test('marks a level whose calls fail as interrupted', async () => {
    const worker = await workers.start();
    const flags = {
      endpoint: worker.url,
      concurrencies: '1,2',
      sessions: '1',
      thinkTime: '0',
      endpointTimeout: '0.001',
    };
    const printed = JSON.parse(await calc(flags));
    expect(printed.calc_data['1'].sizing_metrics.alerts.workflow_interrupted).toBe(true);
  });
});
