import cliProgress, { Presets, type SingleBar } from 'cli-progress';
import { LOG_LEVELS, type LogLevel } from '../base/log.ts';
import type { ProfilePhase } from '../sla-profiler/phases.ts';

const TITLES: Partial<Record<ProfilePhase, string>> = {
  SweepingPrefill: 'prefill sweep',
  SweepingDecode: 'decode sweep',
  SelectingConfig: 'selection',
  BuildingCurves: 'curves',
  Validating: 'goodput under load',
  GeneratingDGD: 'results',
};
const CLEAR_LINE = '\r\u001b[K';

/** What someone who waits for a profile sees on stderr: its log as plain lines, and on a terminal a bar below them. */
export class ProfileScreen {
  readonly #silent: boolean;
  readonly #bar: SingleBar | undefined;
  #expected: Partial<Record<ProfilePhase, number>> = {};
  /** Expected points of the phases before the present one. */
  #before = 0;
  #phasePoints = 0;
  #phase: ProfilePhase | undefined;

  constructor(logLevel: LogLevel) {
    this.#silent = LOG_LEVELS.indexOf(logLevel) > LOG_LEVELS.indexOf('info');
    if (this.#silent || !process.stderr.isTTY) return;
    this.#bar = new cliProgress.SingleBar(
      {
        format: '{bar} {percentage}% | {value}/{total} points | {phase} | {point}',
        hideCursor: true,
        clearOnComplete: true,
        forceRedraw: true,
        linewrap: false,
      },
      Presets.shades_classic,
    );
  }

  say(line: string): void {
    if (this.#silent) return;
    process.stderr.write(`${this.#bar === undefined ? '' : CLEAR_LINE}${line}\n`);
  }

  start(expected: Partial<Record<ProfilePhase, number>>): void {
    this.#expected = expected;
    const total = Object.values(expected).reduce((sum, points) => sum + points, 0);
    this.#bar?.start(total, 0, { phase: 'starting', point: '' });
  }

  enter(phase: ProfilePhase): void {
    if (this.#phase !== undefined) this.#before += this.#expected[this.#phase] ?? 0;
    this.#phase = phase;
    this.#phasePoints = 0;
    this.#bar?.update(this.#before, { phase: TITLES[phase] ?? phase, point: '' });
  }

  point(description: string): void {
    // Points beyond the expected ones must not run ahead of the phases to come.
    const room = (this.#phase === undefined ? undefined : this.#expected[this.#phase]) ?? 0;
    this.#phasePoints = Math.min(room, this.#phasePoints + 1);
    this.#bar?.update(this.#before + this.#phasePoints, { point: description });
  }

  stop(): void {
    this.#bar?.stop();
  }
}
