import cliProgress, { type SingleBar } from 'cli-progress';
import type { Trace } from '../agent-profiler/input/event.ts';
import type { Log } from '../base/log.ts';

const LINE_EVERY_MS = 10_000;

/** How far the reading of traces is: a bar on a terminal, a log line now and then elsewhere. */
export class TraceProgress {
  readonly #log: Log;
  readonly #totalBytes: number;
  readonly #bar: SingleBar | undefined;
  #lastLineMs = performance.now();
  #bytes = 0;
  #requests = 0;
  #events = 0;

  constructor(log: Log, totalBytes: number, visible: boolean) {
    this.#log = log;
    this.#totalBytes = totalBytes;
    if (!visible || !process.stderr.isTTY) return;
    this.#bar = new cliProgress.SingleBar(
      {
        format: '{step} {bar} {percentage}% | {requests} requests | {events} events | {duration_formatted}',
        hideCursor: true,
        clearOnComplete: true,
      },
      cliProgress.Presets.shades_classic,
    );
    this.#bar.start(totalBytes, 0, { step: 'reading', requests: 0, events: 0 });
  }

  read(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Counts traces on their way, and says when they have all passed. */
  async *watch<T extends Trace>(traces: AsyncIterable<T>): AsyncGenerator<T> {
    for await (const trace of traces) {
      this.#requests++;
      this.#events += trace.events.length;
      yield trace;
      this.#show();
    }
    this.#bar?.update(this.#totalBytes, { step: 'writing' });
  }

  stop(): void {
    this.#bar?.stop();
  }

  #show(): void {
    const facts = { requests: this.#requests, events: this.#events };
    this.#bar?.update(Math.min(this.#bytes, this.#totalBytes), facts);
    if (this.#bar !== undefined || performance.now() - this.#lastLineMs < LINE_EVERY_MS) return;
    this.#lastLineMs = performance.now();
    const percent = Math.floor((100 * this.#bytes) / Math.max(1, this.#totalBytes));
    this.#log.info({ percent, ...facts }, 'reading traces');
  }
}
