import cliProgress, { type SingleBar } from 'cli-progress';

/** A bar on stderr over all replays of a command; silent when nobody watches. */
export class ReplayProgress {
  readonly #bar: SingleBar | undefined;
  readonly #requests: number;
  #replays = 0;

  /** `requests` of one replay. */
  constructor(visible: boolean, requests: number) {
    this.#requests = requests;
    if (!visible || !process.stderr.isTTY) return;
    this.#bar = new cliProgress.SingleBar(
      {
        format: 'replaying {bar} {percentage}% | {value}/{total} requests',
        hideCursor: true,
        clearOnComplete: true,
      },
      cliProgress.Presets.shades_classic,
    );
  }

  /** So many replays more will run. */
  plan(replays: number): void {
    this.#replays += replays;
    const total = this.#replays * this.#requests;
    if (this.#replays === replays) this.#bar?.start(total, 0);
    else this.#bar?.setTotal(total);
  }

  /** So many requests more have ended. */
  advance(requests: number): void {
    this.#bar?.increment(requests);
  }

  stop(): void {
    this.#bar?.stop();
  }
}
