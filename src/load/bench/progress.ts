import type { SingleBar } from 'cli-progress';
import type { Log } from '../../base/log.ts';
import type { LoadProgress } from '../run-load.ts';

const LINE_EVERY_MS = 10_000;

/** Shows how far a run is: a bar on a terminal, a log line now and then elsewhere. */
export class ProgressView {
  readonly #log: Log;
  readonly #nowMs: () => number;
  readonly #bar: SingleBar | undefined;
  #started = false;
  #lastLineMs: number;
  #failed = 0;

  private constructor(log: Log, nowMs: () => number, bar: SingleBar | undefined) {
    this.#log = log;
    this.#nowMs = nowMs;
    this.#bar = bar;
    this.#lastLineMs = nowMs();
  }

  static async create(log: Log, nowMs: () => number, isTerminal: boolean): Promise<ProgressView> {
    if (!isTerminal) return new ProgressView(log, nowMs, undefined);
    const { default: progress } = await import('cli-progress');
    const format =
      '{bar} {value}/{total} requests | {inFlight} in flight | {failed} failed | {duration_formatted}';
    const bar = new progress.SingleBar({
      format,
      stream: process.stderr,
      hideCursor: true,
      clearOnComplete: true,
    });
    return new ProgressView(log, nowMs, bar);
  }

  update(progress: LoadProgress, hasFailed: boolean): void {
    if (hasFailed) this.#failed++;
    const facts = { inFlight: progress.inFlight, failed: this.#failed };
    if (this.#bar !== undefined) {
      if (!this.#started) this.#bar.start(progress.planned, 0, facts);
      this.#started = true;
      this.#bar.update(progress.ended, facts);
      return;
    }
    if (this.#nowMs() - this.#lastLineMs < LINE_EVERY_MS) return;
    this.#lastLineMs = this.#nowMs();
    this.#log.info({ ended: progress.ended, planned: progress.planned, ...facts }, 'benchmark under way');
  }

  stop(): void {
    this.#bar?.stop();
  }
}
