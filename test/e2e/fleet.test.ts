import { afterEach, describe, expect, test } from 'vitest';
import type { ParsedFamily } from '../../src/formats/prometheus-text/exposition.ts';
import { parseExposition } from '../../src/formats/prometheus-text/parse.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { eventually } from '../support/until.ts';

const started: KvasirProcess[] = [];
afterEach(async () => {
  for (const process of started.splice(0)) await process.kill();
});

async function start(
  args: readonly string[],
): Promise<{ process: KvasirProcess; url: string; kvEvents: string; replay: string }> {
  const process = new KvasirProcess([...args, '--log-level', 'error']);
  started.push(process);
  const { url, kvEvents, replay } = (await process.json()) as {
    url: string;
    kvEvents: string;
    replay: string;
  };
  return { process, url, kvEvents, replay };
}

const startWorker = (port = '0') =>
  start([
    'worker',
    '--http-port',
    port,
    '--kv-events',
    'tcp://127.0.0.1:*',
    '--replay',
    'tcp://127.0.0.1:*',
    '--speedup',
    '4',
    '--decode-speedup',
    '0.5',
  ]);

type Families = ReadonlyMap<string, ParsedFamily>;
const scrape = async (url: string): Promise<Families> =>
  parseExposition(await (await fetch(`${url}/metrics`)).text()).families;

function total(families: Families, name: string, labels: Record<string, string> = {}, sample = name): number {
  const samples = families.get(name)?.samples ?? [];
  return samples
    .filter(
      (one) =>
        one.name === sample && Object.entries(labels).every(([key, value]) => one.labels[key] === value),
    )
    .reduce((sum, { value }) => sum + value, 0);
}

interface Outcome {
  readonly tokens: number;
  readonly how: 'done' | 'left' | 'broken' | 'refused';
}

/** Streams one completion; leaves after `leaveAfter` tokens where given. Counts one token a chunk. */
async function complete(
  url: string,
  prompt: string,
  maxTokens: number,
  leaveAfter = Number.POSITIVE_INFINITY,
): Promise<Outcome> {
  const stop = new AbortController();
  const body = JSON.stringify({
    model: 'kvasir-sim',
    prompt,
    max_tokens: maxTokens,
    stream: true,
    ignore_eos: true,
  });
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
    signal: stop.signal,
  });
  if (!response.ok) {
    await response.text();
    return { tokens: 0, how: 'refused' };
  }
  let tokens = 0;
  let text = '';
  try {
    for await (const bytes of response.body!.pipeThrough(new TextDecoderStream())) {
      text += bytes;
      const events = text.split('\n\n');
      text = events.pop()!;
      for (const event of events) {
        if (event.includes('"choices":[{')) tokens++;
        if (event.includes('"error"')) return { tokens, how: 'broken' };
        if (event === 'data: [DONE]') return { tokens, how: 'done' };
      }
      if (tokens >= leaveAfter) stop.abort();
    }
  } catch (thrown) {
    if (stop.signal.aborted) return { tokens, how: 'left' };
    throw thrown;
  }
  return { tokens, how: 'broken' };
}

describe('a fleet of processes', () => {
  test('keeps its sums even through cancellations and a killed worker', async () => {
    const workers = await Promise.all([startWorker(), startWorker(), startWorker()]);
    const engines = workers.flatMap(({ url, kvEvents, replay }) => [
      '--engine',
      `${url},kv-events=${kvEvents},replay=${replay}`,
    ]);
    const { url } = await start(['frontend', ...engines, '--http-port', '0']);
    await eventually(
      'all workers are known',
      async () => total(await scrape(url), 'dynamo_component_router_worker_registered') === 3,
    );

    const prompts = Array.from({ length: 6 }, (_, group) => `group ${group}: ${'shared words '.repeat(60)}`);
    const stay = (i: number): Promise<Outcome> =>
      complete(url, `${prompts[i % 6]} question ${i}`, 300 + (i % 5) * 50);
    // Those who leave ask for answers that cannot be over before they do.
    const leave = (i: number): Promise<Outcome> => complete(url, `${prompts[i % 6]} question ${i}`, 1500, 5);
    const early = Array.from({ length: 36 }, (_, i) => (i % 3 === 2 ? leave(i) : stay(i)));
    const cancelled = (families: Families): number =>
      total(families, 'dynamo_frontend_requests_total', { error_type: 'cancelled' });
    // A client that leaves in the instant in which its worker dies may be counted as either.
    const haveLeft = async (): Promise<boolean> => cancelled(await scrape(url)) === 12;
    await eventually('those who leave have left', haveLeft, 60_000);
    const late = Array.from({ length: 12 }, (_, i) => stay(36 + i));
    const running = (): Promise<number[]> =>
      Promise.all(
        workers.map(async (worker) => total(await scrape(worker.url), 'vllm:num_requests_running')),
      );
    // The one that dies is in the middle of answers.
    let busiest = 0;
    await eventually('a worker has several answers to give', async () => {
      const counts = await running();
      busiest = counts.indexOf(Math.max(...counts));
      return counts[busiest]! >= 4;
    });
    const [victim] = workers.splice(busiest, 1);
    victim!.process.signal('SIGKILL');
    const outcomes = await Promise.all([...early, ...late]);
    const count = (how: Outcome['how']): number => outcomes.filter((outcome) => outcome.how === how).length;
    expect(count('left')).toBe(12);
    expect(count('broken')).toBeGreaterThan(0);
    expect(count('done')).toBeGreaterThan(15);

    await eventually(
      'nothing is in flight',
      async () => total(await scrape(url), 'dynamo_frontend_inflight_requests') === 0,
    );
    const families = await scrape(url);
    expect(total(families, 'dynamo_frontend_requests_started_total')).toBe(48);
    expect(total(families, 'dynamo_frontend_requests_total')).toBe(48);
    expect(
      total(
        families,
        'dynamo_frontend_request_duration_seconds',
        {},
        'dynamo_frontend_request_duration_seconds_count',
      ),
    ).toBe(48);
    expect(total(families, 'dynamo_frontend_requests_total', { status: 'success' })).toBe(count('done'));
    expect(cancelled(families)).toBe(count('left'));
    expect(total(families, 'dynamo_frontend_worker_active_decode_blocks')).toBe(0);
    expect(total(families, 'dynamo_frontend_worker_active_prefill_tokens')).toBe(0);
    // What was on its way when a client left was counted and never seen; nothing else may differ.
    const seen = outcomes.reduce((sum, { tokens }) => sum + tokens, 0);
    const counted = total(families, 'dynamo_frontend_output_tokens_total');
    expect(counted).toBeGreaterThanOrEqual(seen);
    expect(counted - seen).toBeLessThanOrEqual(20 * count('left'));
    // The survivors hold nothing for anyone either.
    for (const { url: engine } of workers) {
      await eventually(
        'the engine is idle',
        async () => total(await scrape(engine), 'vllm:num_requests_running') === 0,
      );
    }
  });

  test('forgets a dead worker, and trusts it again once it is back with an empty cache', async () => {
    const [first, second] = await Promise.all([startWorker(), startWorker()]);
    const engines = [first, second].flatMap(({ url, kvEvents, replay }) => [
      '--engine',
      `${url},kv-events=${kvEvents},replay=${replay}`,
    ]);
    const { url } = await start(['frontend', ...engines, '--http-port', '0']);
    const registered = async (): Promise<number> =>
      total(await scrape(url), 'dynamo_component_router_worker_registered');
    const exact = async (): Promise<number> =>
      total(await scrape(url), 'kvasir_index_rank_state', { state: 'exact' });
    await eventually('both are known', async () => (await registered()) === 2 && (await exact()) === 2);
    await Promise.all(Array.from({ length: 8 }, (_, i) => complete(url, `${i} ${'words '.repeat(80)}`, 4)));
    const held = total(await scrape(url), 'kvasir_index_resident_blocks');
    expect(held).toBeGreaterThan(0);
    first.process.signal('SIGKILL');
    await first.process.exitCode();
    await eventually('the dead one is forgotten', async () => (await registered()) === 1);
    expect(total(await scrape(url), 'kvasir_index_resident_blocks')).toBeLessThan(held);
    await startWorker(new URL(first.url).port);
    await eventually('it is back', async () => (await registered()) === 2);
    expect((await complete(url, 'hello again', 4)).how).toBe('done');
  });

  test('knows after a restart of the router what the engines are still busy with, and what they hold', async () => {
    const { url: engine, kvEvents, replay } = await startWorker();
    const spec = ['--engine', `${engine},kv-events=${kvEvents},replay=${replay}`];
    const first = await start(['frontend', ...spec, '--http-port', '0']);
    const rank = async (url: string) => {
      const { ranks } = (await (await fetch(`${url}/debug/ranks`)).json()) as {
        ranks: {
          state: string;
          residentBlocks: number;
          load: { foreignBlocks: number; activeRequests: number };
        }[];
      };
      return ranks[0];
    };
    await eventually('the engine is known', async () => (await rank(first.url))?.state === 'exact');
    const long = complete(first.url, 'words '.repeat(300), 8000);
    await eventually('it is busy', async () => (await rank(first.url))!.residentBlocks >= 28);
    const second = await start(['frontend', ...spec, '--http-port', '0']);
    await eventually('the second one knows', async () => {
      const known = await rank(second.url);
      return known?.state === 'exact' && known.residentBlocks >= 28 && known.load.foreignBlocks >= 28;
    });
    expect((await rank(second.url))!.load.activeRequests).toBe(0);
    first.process.signal('SIGKILL');
    await long.catch(() => {});
    await eventually(
      'and learns that it is over',
      async () => (await rank(second.url))!.load.foreignBlocks === 0,
    );
  });
});
