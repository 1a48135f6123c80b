import { setImmediate } from 'node:timers/promises';
import type { Publisher, Subscriber } from 'zeromq';
import type { Random } from '../../src/base/random.ts';
import { loadZmq } from '../../src/transport/zmq/zmq-library.ts';

export interface Faults {
  /** Shares of batches, 0 to 1. */
  readonly dropped: number;
  readonly repeated: number;
  readonly delayed: number;
}

type Frames = readonly Buffer[];

/** Stands between an engine's KV events and their readers, and mistreats them. */
export class EventProxy {
  readonly #upstream: string;
  readonly #random: Random;
  #faults: Faults = { dropped: 0, repeated: 0, delayed: 0 };
  #cut = false;
  #in: Subscriber | undefined;
  #out: Publisher | undefined;
  #held: Frames[] = [];
  #loop: Promise<void> = Promise.resolve();
  readonly counts = { passed: 0, dropped: 0, repeated: 0, delayed: 0 };

  constructor(upstream: string, random: Random) {
    this.#upstream = upstream;
    this.#random = random;
  }

  /** Resolves to the address for readers. */
  async start(): Promise<string> {
    const zmq = await loadZmq('chaos');
    this.#in = new zmq.Subscriber({ receiveHighWaterMark: 0, reconnectInterval: 20, linger: 0 });
    this.#out = new zmq.Publisher({ sendHighWaterMark: 0, linger: 0 });
    await this.#out.bind('tcp://127.0.0.1:*');
    this.#in.subscribe('');
    this.#in.connect(this.#upstream);
    this.#loop = this.#pass(this.#in, this.#out);
    return this.#out.lastEndpoint!;
  }

  setFaults(faults: Faults): void {
    this.#faults = faults;
  }

  /** While cut, nothing comes through. */
  setCut(cut: boolean): void {
    this.#cut = cut;
  }

  async stop(): Promise<void> {
    this.#in?.close();
    await this.#loop;
    this.#out?.close();
  }

  async #pass(from: Subscriber, to: Publisher): Promise<void> {
    for await (const frames of from) {
      for (const each of this.#mistreat(frames)) await to.send([...each]);
      await setImmediate();
    }
  }

  /** What goes out now: nothing, the batch, or it with others around. A delayed one goes out after the next. */
  #mistreat(frames: Frames): Frames[] {
    const { dropped, repeated, delayed } = this.#faults;
    const draw = this.#random.next();
    const held = this.#held.splice(0);
    if (this.#cut || draw < dropped) {
      this.counts.dropped++;
      return held;
    }
    if (draw < dropped + repeated) {
      this.counts.repeated++;
      return [frames, frames, ...held];
    }
    if (draw < dropped + repeated + delayed) {
      this.counts.delayed++;
      this.#held = [...held, frames];
      return [];
    }
    this.counts.passed++;
    return [frames, ...held];
  }
}
