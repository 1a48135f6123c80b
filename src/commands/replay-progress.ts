import cliProgress, { Presets, type SingleBar } from 'cli-progress';

/** A bar on stderr while replays run; silent when nobody watches. */
export class ReplayProgress {
  readonly #bar: SingleBar | undefined;

  constructor(visible: boolean) {
    if (!visible || !process.stderr.isTTY) return;
    this.#bar = new cliProgress.SingleBar(
      {
        format: '{task} {bar} {percentage}% | {value}/{total} requests',
        hideCursor: true,
        clearOnComplete: true,
      },
      Presets.shades_classic,
    );
  }

  start(task: string, requests: number): void {
    this.#bar?.start(requests, 0, { task });
  }

  update(ended: number): void {
    this.#bar?.update(ended);
  }

  stop(): void {
    this.#bar?.stop();
  }
}
