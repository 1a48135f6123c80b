import type { VirtualClock } from '../base/clock.ts';
import { Heap } from '../base/heap.ts';

interface Due {
  readonly atNs: number;
  readonly order: number;
  readonly run: () => void;
}

/** Events of a replay by instant, then by the order in which they were set; moves a clock along. */
export class VirtualTime {
  readonly #due = new Heap<Due>((a, b) => a.atNs < b.atNs || (a.atNs === b.atNs && a.order < b.order));
  readonly #clock: VirtualClock | undefined;
  #nowNs = 0;
  #order = 0;

  constructor(clock: VirtualClock | undefined) {
    this.#clock = clock;
  }

  get nowNs(): number {
    return this.#nowNs;
  }

  /** Instant of the next event; infinite when there is none. */
  get nextNs(): number {
    return this.#due.peek()?.atNs ?? Number.POSITIVE_INFINITY;
  }

  at(atNs: number, run: () => void): void {
    this.#due.push({ atNs, order: this.#order++, run });
  }

  moveTo(nowNs: number): void {
    this.#nowNs = nowNs;
    this.#clock?.advanceTo(nowNs / 1e6);
  }

  /** Runs what is due at this instant; false if nothing was. */
  runDue(): boolean {
    let ran = false;
    while (this.nextNs <= this.#nowNs) {
      this.#due.pop()!.run();
      ran = true;
    }
    return ran;
  }
}
