import type { Clock } from '../base/clock.ts';
import { EventEncoder } from '../formats/kv-events/event-encoder.ts';
import type { EventSource, EventSourceListener, ReplayOutcome } from '../transport/event-source.ts';
import type { BatchSink } from './kv-event-stream.ts';

/** Numbers batches as it publishes them, and can leave a number out. */
export interface RenumberingSink extends BatchSink {
  /** The next number stands for what was lost. */
  skip(): void;
}

/**
 * One rank's events of an engine that hands each out but once, published for all who want them. What was lost is a
 * number left out, and a restart clears the rank, as those who listen began with other numbers than the engine.
 */
export class RepublishedSource implements EventSource {
  readonly #source: EventSource;
  readonly #sink: RenumberingSink;
  readonly #clock: Clock;
  readonly #encoder = new EventEncoder('kvasir');
  #next = 0;

  constructor(source: EventSource, sink: RenumberingSink, clock: Clock) {
    this.#source = source;
    this.#sink = sink;
    this.#clock = clock;
  }

  get dpRank(): number {
    return this.#source.dpRank;
  }

  /** The listener gets what is published, by the numbers under which it is. */
  start(listener: EventSourceListener): Promise<void> {
    const publish = (payload: Uint8Array): void =>
      listener.batch({ topic: '', seq: this.#sink.publish(payload), payload });
    return this.#source.start({
      ...listener,
      batch: ({ seq, payload }) => {
        if (seq < this.#next) publish(this.#cleared());
        else if (seq > this.#next) this.#sink.skip();
        this.#next = seq + 1;
        publish(payload);
      },
    });
  }

  /** Nobody keeps what is missing. */
  replay(): Promise<ReplayOutcome> {
    return Promise.resolve({ end: 'complete', batches: 0 });
  }

  snapshot(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  stop(): Promise<void> {
    return this.#source.stop();
  }

  #cleared(): Uint8Array {
    const timestampS = this.#clock.wallMs() / 1000;
    return this.#encoder.encode({ timestampS, dpRank: this.dpRank, events: [{ kind: 'cleared' }] });
  }
}
