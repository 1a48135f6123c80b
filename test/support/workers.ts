import { expect } from 'vitest';
import { fixedTiming } from '../../src/engine/timing.ts';
import type { EngineEvent } from '../../src/formats/kv-events/engine-event.ts';
import { readSnapshot } from '../../src/formats/kv-events/snapshot.ts';
import { type RunningWorker, startWorker, type WorkerOptions } from '../../src/worker/start-worker.ts';
import { eventually } from './until.ts';

export const BLOCK = 16;
export const PROMPT =
  'The quick brown fox jumps over the lazy dog, and then it does so once more to be sure.';

/** Workers on free ports with a small, fast engine; `stopAll` ends them. */
export class Workers {
  readonly #running: RunningWorker[] = [];

  async start(options: WorkerOptions = {}): Promise<RunningWorker> {
    const worker = await startWorker({
      httpPort: 0,
      model: 'm',
      ...options,
      engine: { blockSize: BLOCK, numGpuBlocks: 512, timing: fixedTiming(2, 1), ...options.engine },
    });
    this.#running.push(worker);
    return worker;
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.#running.splice(0).map((worker) => worker.stop(0)));
  }
}

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: the body is what the tests look at
  readonly body: any;
}

export async function post(url: string, path: string, body: object, init: RequestInit = {}): Promise<Answer> {
  const headers = { 'content-type': 'application/json', ...init.headers };
  const response = await fetch(url + path, { method: 'POST', body: JSON.stringify(body), ...init, headers });
  return { status: response.status, body: await response.json() };
}

export function complete(url: string, body: object): Promise<Answer> {
  return post(url, '/v1/completions', { model: 'm', ...body });
}

/** The data of all events of a stream. */
export async function stream(url: string, path: string, body: object): Promise<string[]> {
  const response = await fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'm', stream: true, ...body }),
  });
  expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
  const frames = (await response.text()).split('\n\n');
  expect(frames.pop()).toBe('');
  return frames.map((frame) => frame.replace(/^data: /, ''));
}

export function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  return eventually('the condition', condition, 10_000);
}

/** The value of the first series whose line matches. */
export async function metric(url: string, pattern: RegExp): Promise<number | undefined> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split('\n').find((candidate) => pattern.test(candidate));
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
}

export function sorted(hashes: Iterable<bigint>): bigint[] {
  return [...hashes].sort((a, b) => (a < b ? -1 : 1));
}

/** Of all stored blocks, in ascending order. */
export function hashesOf(events: readonly EngineEvent[]): bigint[] {
  return sorted(events.flatMap((event) => (event.kind === 'stored' ? [...event.blockHashes] : [])));
}

/** What each rank holds by its own account. */
export async function heldBlocks(
  url: string,
): Promise<{ readonly lastSeq: number; readonly hashes: bigint[] }[]> {
  const ranks = readSnapshot(await (await fetch(`${url}/kv/snapshot`)).json(), url);
  return ranks.map(({ lastSeq, events }) => ({ lastSeq, hashes: hashesOf(events) }));
}
