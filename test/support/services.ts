import { expect } from 'vitest';
import { KvasirProcess } from './kvasir-process.ts';
import { eventually } from './until.ts';

/** Tokens of a block of the workers below. */
export const BLOCK = 16;

export interface Service {
  readonly url: string;
  readonly kvEvents: string;
  readonly process: KvasirProcess;
}

/** Kvasir's processes, each on a port of its own; `stopAll` ends them. */
export class Services {
  readonly #running: KvasirProcess[] = [];

  async start(...args: string[]): Promise<Service> {
    const process = new KvasirProcess([...args, '--log-level', 'error']);
    this.#running.push(process);
    return { ...((await process.json()) as { url: string; kvEvents: string }), process };
  }

  startWorker(...args: string[]): Promise<Service> {
    const own = ['--http-port', '0', '--kv-events', 'tcp://127.0.0.1:*', '--block-size', String(BLOCK)];
    return this.start('worker', ...own, ...args);
  }

  async stopAll(): Promise<void> {
    for (const process of this.#running.splice(0)) await process.kill();
  }
}

/** Lets a worker compute a prompt, so that it holds its blocks. */
export async function compute(
  worker: string,
  tokens: readonly number[],
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  const response = await fetch(`${worker}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model: 'kvasir-sim', prompt: tokens, max_tokens: 1 }),
  });
  await response.text();
  expect(response.status).toBe(200);
}

/**
 * The same, until that is seen elsewhere: what was told before anybody listened is lost, so the worker then forgets the prompt
 * and computes it again.
 */
export async function computeUntil(
  what: string | (() => string),
  seen: () => Promise<boolean>,
  worker: string,
  tokens: readonly number[],
): Promise<void> {
  for (let triesLeft = 10; ; triesLeft--) {
    await compute(worker, tokens);
    try {
      return await eventually(what, seen, 2000);
    } catch (thrown) {
      if (triesLeft === 0) throw thrown;
      await (await fetch(`${worker}/reset_prefix_cache`, { method: 'POST' })).text();
    }
  }
}
