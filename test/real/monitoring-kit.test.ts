import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { realPart } from '../support/real-part.ts';
import { eventually } from '../support/until.ts';

const PROGRAM = join(import.meta.dirname, '../../dist/bin/kvasir.js');
const WITHIN_MS = 60_000;
const EVERY_MS = 100;

/** What the alias rules of `deploy/prometheus` make of an engine's own families, and what must be true of it. */
const ALIASES = {
  vllm: [
    'cache_hit_efficiency',
    'gen_throughput',
    'token_usage',
    'num_queue_reqs',
    'num_running_reqs',
    'num_used_tokens',
  ],
  sglang: [
    'cache_hit_efficiency',
    'gen_throughput',
    'token_usage',
    'num_queue_reqs',
    'num_running_reqs',
    'num_used_tokens',
  ],
} as const;

/** Fields of the reference's collector that need another engine or the Thompson processor. */
const ELSEWHERE = { vllm: /sglang|thompson|^kve_/, sglang: /thompson|^kve_/ } as const;

/** One request every so often, each second one with a prompt of its own, until it is stopped. */
class Load {
  readonly #running = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #round = 0;

  start(url: string): void {
    this.#timer = setInterval(() => {
      const done = this.#ask(url, this.#round++).finally(() => this.#running.delete(done));
      this.#running.add(done);
    }, EVERY_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#running);
  }

  async #ask(url: string, round: number): Promise<void> {
    const own = round % 2 === 0 ? '' : `${round} `;
    const content = `${own}the same long words again and again. `.repeat(40);
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'kvasir-sim',
        messages: [{ role: 'user', content }],
        max_tokens: 40,
        stream: true,
      }),
    });
    await response.text();
  }
}

describe.skipIf(realPart('prometheus').skip).each(['vllm', 'sglang'] as const)(
  'a fleet of simulated %s engines under load, scraped by Prometheus',
  (engine) => {
    const load = new Load();
    let up: KvasirProcess;
    let ready: { readonly url: string; readonly prometheus: string };

    const query = async (expr: string): Promise<number[]> => {
      const url = `${ready.prometheus}/api/v1/query?${new URLSearchParams({ query: expr })}`;
      const { data } = (await (await fetch(url)).json()) as {
        data: { result: { value: [number, string] }[] };
      };
      return data.result.map(({ value }) => Number(value[1]));
    };
    const collect = (...args: string[]): Record<string, never> =>
      JSON.parse(
        spawnSync(process.execPath, [PROGRAM, 'collect', '--prometheus-url', ready.prometheus, ...args], {
          encoding: 'utf8',
        }).stdout,
      );

    beforeAll(async () => {
      const ports = ['--http-port', '0', '--system-port-base', '0', '--prometheus-port', '0'];
      up = new KvasirProcess([
        'up',
        '--workers',
        '2',
        '--engine-type',
        engine,
        '--with-prometheus',
        ...ports,
      ]);
      ready = (await up.json()) as unknown as typeof ready;
      load.start(ready.url);
    });
    afterAll(async () => {
      await load.stop();
      // Not killed: it takes its Prometheus along.
      up?.signal('SIGTERM');
      await up?.exitCode();
    });

    test('gives every alias a finite value for each worker', async () => {
      let missing: string[] = [];
      await eventually(
        () => missing.join('\n'),
        async () => {
          missing = [];
          for (const name of ALIASES[engine]) {
            const values = await query(`${engine}:${name}`);
            if (values.length !== 2 || !values.every(Number.isFinite)) missing.push(`${name}: ${values}`);
          }
          const busy = await query(`sum(${engine}:gen_throughput)`);
          return missing.length === 0 && (busy[0] ?? 0) > 0;
        },
        WITHIN_MS,
      );
    });

    test('answers the reference’s collector wherever such a fleet can', async () => {
      let empty: string[] = [];
      await eventually(
        () => empty.join(', '),
        async () => {
          const result = collect('--compat', 'nat');
          const fields = Object.entries(result).filter(
            ([name]) => !/^(collection_timestamp|prometheus_url|errors)$/.test(name),
          );
          expect(fields).toHaveLength(25);
          // Zeros read as null there: nothing may be queued, and the latest prompt may have found nothing.
          const mayBeZero = /queue|utilization|inflight|running|hit_rate_sglang/;
          empty = fields.flatMap(([name, value]) =>
            value === null && !ELSEWHERE[engine].test(name) && !mayBeZero.test(name) ? [name] : [],
          );
          return empty.length === 0;
        },
        WITHIN_MS,
      );
    });

    test('has one KV efficiency, whoever is asked', async () => {
      let seen: unknown;
      await eventually(
        () => JSON.stringify(seen),
        async () => {
          const [alias] = await query(
            engine === 'vllm'
              ? '1 - sum(rate(vllm:request_prefill_kv_computed_tokens_sum[10s])) / sum(rate(vllm:request_prompt_tokens_sum[10s]))'
              : 'sum(rate(sglang:cached_tokens_total[10s])) / sum(rate(sglang:prompt_tokens_total[10s]))',
          );
          const { kve } = collect('--query-range', '10s') as unknown as {
            kve: { readings: { source: string; value: number }[] };
          };
          seen = { alias, kve };
          const values = [alias, ...kve.readings.map(({ value }) => value)];
          // Windows differ by a scrape at each end.
          return (
            kve.readings.length >= 2 &&
            values.every((value) => value !== undefined && value > 0.3 && value < 0.7)
          );
        },
        WITHIN_MS,
      );
    });
  },
);
