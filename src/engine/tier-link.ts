/** The way between two tiers in one direction: one transfer after the other, as on one copy stream of a GPU. */
export class TierLink {
  readonly #bytesPerNs: number;
  #busyUntilNs = 0;

  /** Decimal GB/s, which is bytes per ns; 0 takes no time. */
  constructor(bandwidthGBps: number) {
    this.#bytesPerNs = bandwidthGBps;
  }

  durationNs(sizeBytes: number): number {
    return this.#bytesPerNs > 0 ? Math.round(sizeBytes / this.#bytesPerNs) : 0;
  }

  /** Begins a transfer when those before it are over, at `fromNs` at the earliest; its end. */
  take(fromNs: number, sizeBytes: number): number {
    this.#busyUntilNs = Math.max(fromNs, this.#busyUntilNs) + this.durationNs(sizeBytes);
    return this.#busyUntilNs;
  }

  /** As {@link take}, but only if the transfer is over by `endNs`; false, and nothing taken, if there was no time. */
  takeBy(endNs: number, fromNs: number, sizeBytes: number): boolean {
    const overNs = Math.max(fromNs, this.#busyUntilNs) + this.durationNs(sizeBytes);
    if (overNs > endNs) return false;
    this.#busyUntilNs = overNs;
    return true;
  }
}
