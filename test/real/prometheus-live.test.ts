import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DASHBOARDS } from '../../scripts/grafana/dashboards.ts';
import { parseExposition } from '../../src/formats/prometheus-text/parse.ts';
import {
  type ConsumerQuery,
  expressionsOf,
  failureOf,
  readConsumerCatalogue,
} from '../support/consumer-queries.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { Prometheus, promtoolCheck, type ScrapeTarget } from '../support/prometheus.ts';
import { realPart } from '../support/real-part.ts';
import { sharedFile } from '../support/shared-data.ts';
import { eventually } from '../support/until.ts';

const MODEL = 'test-model';
const WITHIN_MS = 90_000;
const LOAD_EVERY_MS = 200;
const ANSWER_TOKENS = 70;
const LONG_ANSWER_TOKENS = 400;

// Few enough that prompts push each other out of the caches.
const CACHE_BLOCKS = 120;

/** What `kvasir up` has none of: other engines and components, and what does not happen to a healthy fleet. */
const ABSENT: readonly RegExp[] = [
  /dynamo_component="(prefill|router)"/,
  /dynamo_namespace="workers"/,
  /sglang:/,
  /error_type="(not_found|not_implemented|overload|internal)"/,
  /status="(parent_block_not_found|block_not_found|invalid_block)"/,
];

/** What `kvasir up` says when it serves. */
interface Fleet {
  readonly url: string;
  readonly workers: readonly { readonly url: string; readonly systemUrl: string }[];
}

/**
 * Steady requests until it is stopped: streams that share prefixes, whole answers, invalid ones and, if wanted,
 * clients that leave. Each cache is cleared once, which works only at a moment of rest.
 */
class Load {
  readonly #running = new Set<Promise<unknown>>();
  readonly #cleared = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  start({ url, workers }: Fleet, leaving: boolean): void {
    let round = 0;
    this.#timer = setInterval(() => {
      for (const worker of workers) void this.#clear(worker.url);
      const leaves = leaving && round % 10 === 4;
      const request = leaves ? this.#leave(url, round++) : this.#answer(url, round++);
      const done = request.finally(() => this.#running.delete(done));
      this.#running.add(done);
    }, LOAD_EVERY_MS);
  }

  /** Waits for what is under way. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
  }

  async #clear(url: string): Promise<void> {
    if (this.#cleared.has(url)) return;
    const response = await fetch(`${url}/reset_prefix_cache`, { method: 'POST' });
    const { success } = (await response.json()) as { readonly success: boolean };
    if (success) this.#cleared.add(url);
  }

  async #answer(url: string, round: number): Promise<void> {
    await (await post(url, round, ANSWER_TOKENS)).text();
  }

  async #leave(url: string, round: number): Promise<void> {
    const leaving = new AbortController();
    const response = await post(url, round, LONG_ANSWER_TOKENS, leaving.signal);
    await response.body?.getReader().read();
    leaving.abort();
  }
}

function post(url: string, round: number, tokens: number, signal?: AbortSignal): Promise<Response> {
  const topic = `topic ${round % 20} `.repeat(60);
  const stream = round % 3 !== 0;
  const body = {
    model: MODEL,
    messages: [{ role: 'user', content: round % 10 === 9 ? 7 : `${topic}, round ${round}` }],
    max_tokens: tokens,
    stream,
    ...(stream && { stream_options: { include_usage: true } }),
  };
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  });
}

async function emittedFamilies(targets: readonly ScrapeTarget[]): Promise<ReadonlySet<string>> {
  const texts = await Promise.all(targets.map(async ({ url }) => (await fetch(`${url}/metrics`)).text()));
  return new Set(texts.flatMap((text) => [...parseExposition(text).families.keys()]));
}

function isAskable(query: ConsumerQuery, families: ReadonlySet<string>): boolean {
  const { needs, external_series = [] } = query;
  return (
    needs.every((name) => families.has(name)) &&
    !external_series.some((name) => name.startsWith('kube_')) &&
    !expressionsOf(query).every(isAbsent)
  );
}

function isAbsent(expression: string): boolean {
  return ABSENT.some((pattern) => pattern.test(expression));
}

describe.skipIf(realPart('prometheus').skip)('a real Prometheus that scrapes kvasir up under load', () => {
  const load = new Load();
  let up: KvasirProcess;
  let fleet: Fleet;
  let prometheus: Prometheus;
  let targets: readonly ScrapeTarget[];

  beforeAll(async () => {
    const ports = ['--http-port', '0', '--system-port-base', '0'];
    const engine = ['--model', MODEL, '--num-gpu-blocks', String(CACHE_BLOCKS)];
    up = new KvasirProcess(['up', '--workers', '2', ...engine, ...ports, '--router-track-output-blocks']);
    fleet = (await up.json()) as unknown as Fleet;
    const pod = (name: string) => ({ namespace: 'dynamo', pod: name });
    targets = [
      {
        job: 'dynamo-frontend',
        url: fleet.url,
        labels: { ...pod('frontend-0'), dynamo_namespace: 'dynamo' },
      },
      ...fleet.workers.map(({ systemUrl }, i) => ({
        job: `dynamo-worker-${i}`,
        url: systemUrl,
        labels: pod(`worker-${i}`),
      })),
    ];
    load.start(fleet, true);
    const path = sharedFile('spec/metrics-catalog.json');
    const rules = path === undefined ? [] : readConsumerCatalogue(path).recording_rules;
    prometheus = await Prometheus.start({ targets, rules });
  });

  afterAll(async () => {
    await load.stop();
    await prometheus?.stop();
    await up?.kill();
  });

  test('finds every target up, and promtool no line that it cannot read', async () => {
    const healthy = async () =>
      [...(await prometheus.targets()).values()].every(({ health }) => health === 'up');
    await eventually('all targets are up', healthy, WITHIN_MS);
    for (const { url } of targets) {
      const checked = promtoolCheck(await (await fetch(`${url}/metrics`)).text());
      expect(checked.parsed).toBe(true);
      expect(checked.findings.filter((finding) => finding.startsWith('kvasir_'))).toEqual([]);
    }
  });

  const path = sharedFile('spec/metrics-catalog.json');
  test.skipIf(path === undefined)('answers every query about what it emits with finite values', async () => {
    const queries = readConsumerCatalogue(path!).consumer_queries.filter(({ scope }) => scope !== 'external');
    const families = await emittedFamilies(targets);
    const askable = queries.filter((query) => isAskable(query, families));
    expect(askable.length).toBeGreaterThan(100);
    let failures: string[] = [];
    const allAnswered = async (): Promise<boolean> => {
      const answers: (string | undefined)[] = [];
      for (const query of askable) answers.push(await failureOf(prometheus, query, isAbsent));
      failures = answers.filter((failure) => failure !== undefined);
      return failures.length === 0;
    };
    await eventually(() => failures.join('\n'), allAnswered, WITHIN_MS);
  });

  test('fills every panel of the dashboards', async () => {
    const targets = DASHBOARDS.flatMap(({ rows }) => rows)
      .flatMap(({ panels }) => panels)
      .flatMap((panel) => panel.targets.map((target) => ({ title: panel.title, ...target })));
    expect(targets.length).toBeGreaterThan(40);
    let empty: string[] = [];
    const allFilled = async (): Promise<boolean> => {
      empty = [];
      for (const { title, legend, expr, quiet } of targets) {
        const samples = await prometheus.query(
          expr.replaceAll('$__rate_interval', '10s').replaceAll('$model', '.*'),
        );
        // A query about what does not happen here must be one that Prometheus understands, no more.
        if (quiet !== undefined) continue;
        if (samples.length === 0 || samples.some(({ value }) => !Number.isFinite(value)))
          empty.push(`${title}, ${legend}: ${JSON.stringify(samples)}`);
      }
      return empty.length === 0;
    };
    await eventually(() => empty.join('\n'), allFilled, WITHIN_MS);
  });

  test('counts as many tokens at the frontend as the engines made', async () => {
    const sums = async (): Promise<readonly [made: number, seen: number]> => {
      const [[made], [seen]] = [
        await prometheus.query('sum(vllm:generation_tokens_total)'),
        await prometheus.query('sum(dynamo_frontend_output_tokens_total)'),
      ];
      return [made?.value ?? 0, seen?.value ?? 0];
    };
    await load.stop();
    let before = await sums();
    // What clients that left had asked for may still be made for a moment.
    await eventually(
      'the fleet does not come to rest',
      async () => {
        await new Promise((resolve) => setTimeout(resolve, 3000));
        const last = before;
        before = await sums();
        return before[0] === last[0] && before[1] === last[1];
      },
      WITHIN_MS,
    );
    load.start(fleet, false);
    await eventually('tokens come', async () => (await sums())[1] > before[1] + 1000, WITHIN_MS);
    await load.stop();
    let after = before;
    const equal = async (): Promise<boolean> => {
      after = await sums();
      return after[0] - before[0] === after[1] - before[1];
    };
    await eventually(() => `made ${after[0] - before[0]}, seen ${after[1] - before[1]}`, equal, WITHIN_MS);
  });
});
