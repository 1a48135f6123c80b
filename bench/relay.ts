import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { type Bench, median, rounded } from './harness.ts';

/** Streams through each relay, each with a chunk every 10 ms, so that hardly any two share a read of a socket. */
const STREAMS = 25;
const WINDOW_MS = 1000;

/** A process of `relay-peer.ts` that answers one question at a time. */
class Peer {
  readonly #child: ChildProcess;

  constructor(role: string) {
    this.#child = fork(new URL('./relay-peer.ts', import.meta.url), [role], { stdio: 'inherit' });
  }

  /** Throws if the process ends instead of answering. */
  async ask<T>(question: object): Promise<T> {
    this.#child.send(question);
    const given = new AbortController();
    const { signal } = given;
    try {
      const ended = once(this.#child, 'exit', { signal }).then(([code]) => {
        throw new Error(`a process of the bench ended with ${code}`);
      });
      const [answer] = (await Promise.race([once(this.#child, 'message', { signal }), ended])) as [T];
      return answer;
    } finally {
      given.abort();
    }
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.kill();
    await exited;
  }
}

export const bench: Bench = {
  summary: 'CPU of the frontend per SSE chunk; a bare undici-dispatch -> socket relay',
  floor: 0.77,
  async run({ quick }) {
    const [engine, ...lanes] = [new Peer('engine'), new Lane('bare'), new Lane('full')] as const;
    try {
      const { url } = await engine.ask<{ url: string }>({ kind: 'start' });
      // Both relays work at the same time, so that both suffer alike from what else the machine does.
      await Promise.all(lanes.map((lane) => lane.open(url)));
      const costs = lanes.map((): number[] => []);
      const rounds = quick ? 10 : 30;
      for (let round = -2; round < rounds; round++) {
        const window = await Promise.all(lanes.map((lane) => lane.costUs()));
        if (round >= 0) for (const [i, cost] of window.entries()) costs[i]!.push(cost);
      }
      const [baseline, value] = costs.map(median) as [number, number];
      const details = { streams: STREAMS, thousand_chunks_per_core_second: rounded(1000 / value) };
      const ratio = median(costs[0]!.map((bare, i) => bare / costs[1]![i]!));
      return { value, baseline, unit: 'µs CPU/chunk', ratio, details };
    } finally {
      await Promise.all([engine.stop(), ...lanes.map((lane) => lane.stop())]);
    }
  },
};

/** One relay under test with a client of its own. */
class Lane {
  readonly #relay: Peer;
  readonly #client = new Peer('client');

  constructor(role: 'bare' | 'full') {
    this.#relay = new Peer(role);
  }

  /** Opens the streams; their opening is not part of a chunk's cost. */
  async open(engineUrl: string): Promise<void> {
    const { url } = await this.#relay.ask<{ url: string }>({ kind: 'start', url: engineUrl });
    await this.#client.ask({ kind: 'open', url, streams: STREAMS });
  }

  /** CPU time of the relay for each chunk that the client got, over one window. */
  async costUs(): Promise<number> {
    const { cpuUs: before } = await this.#relay.ask<{ cpuUs: number }>({ kind: 'cpu' });
    const { chunks: had } = await this.#client.ask<{ chunks: number }>({ kind: 'count' });
    await new Promise((resolve) => setTimeout(resolve, WINDOW_MS));
    const { chunks } = await this.#client.ask<{ chunks: number }>({ kind: 'count' });
    const { cpuUs } = await this.#relay.ask<{ cpuUs: number }>({ kind: 'cpu' });
    return (cpuUs - before) / (chunks - had);
  }

  async stop(): Promise<void> {
    await Promise.all([this.#relay.stop(), this.#client.stop()]);
  }
}
