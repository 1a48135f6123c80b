import { type Random, SeededRandom } from '../../src/base/random.ts';
import { audit, json } from './audit.ts';
import { Clients, type ClientTally } from './clients.ts';
import { ChaosFleet, type Place } from './fleet.ts';

export interface ChaosOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly workers: number;
  /** Half of them prefill for the other half. */
  readonly disaggregated: boolean;
  readonly clients: number;
  readonly progress?: (line: string) => void;
}

export interface ChaosReport {
  readonly seed: number;
  readonly seconds: number;
  readonly clients: ClientTally;
  readonly done: Readonly<Record<string, number>>;
  readonly events: { passed: number; dropped: number; repeated: number; delayed: number };
  readonly comparedBlocks: number;
  /** From the last fault until all was well. */
  readonly healedSeconds: number;
  /** From a router's start until it knew every block again; the longest. */
  readonly restoredSeconds: number;
  /** Broken promises. */
  readonly wrong: readonly string[];
}

const FAULTS = { dropped: 0.03, repeated: 0.02, delayed: 0.03 };
const HEAL_WITHIN_MS = 60_000;
const RESTORE_WITHIN_MS = 30_000;
/** It looks twice, for 5 s each. */
const FIND_OUT_WITHIN_MS = 30_000;
const REPORT_EVERY_MS = 15_000;
/** How much longer a run may last for a fault that could not happen so far. */
const LACKING_WITHIN_MS = 30_000;

/** Runs load and faults for a while, then lets all come to rest and looks at what is left. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const fleet = new ChaosFleet({
    workers: options.workers,
    disaggregated: options.disaggregated,
    random: new SeededRandom(options.seed),
    // Small pools, so that blocks are evicted all the time; slow enough for answers to be cut in the middle.
    workerArgs: ['--num-gpu-blocks', '160', '--speedup', '4', '--decode-speedup', '0.4'],
    frontendArgs: ['--migration-limit', '8', '--retry-limit', '8', '--drain-secs', '20'],
  });
  try {
    await fleet.start();
    return await new Chaos(fleet, options).run();
  } finally {
    await fleet.stop();
  }
}

class Chaos {
  readonly #fleet: ChaosFleet;
  readonly #options: ChaosOptions;
  readonly #random: Random;
  readonly #clients: Clients;
  readonly #done: Record<string, number> = {};
  readonly #repairs = new Set<Promise<void>>();
  readonly #wrong: string[] = [];
  #routerDown = false;
  #routerUpMs = 0;
  #routerKilledMs = -1;
  #restoredMs = 0;

  constructor(fleet: ChaosFleet, options: ChaosOptions) {
    this.#fleet = fleet;
    this.#options = options;
    this.#random = new SeededRandom(options.seed + 1);
    this.#clients = new Clients({
      url: () => fleet.url,
      shown: () => `${Math.round(performance.now())} ms: ${fleet.shown}`,
      random: new SeededRandom(options.seed + 2),
      routerDownSince: (sinceMs) => this.#routerDown || this.#routerUpMs >= sinceMs,
      routerKilledSince: (sinceMs) => this.#routerKilledMs >= sinceMs,
    });
  }

  async run(): Promise<ChaosReport> {
    const { seconds, seed, clients } = this.#options;
    const fleet = this.#fleet;
    await this.#allKnown();
    this.#clients.start(clients);
    await pause(2000);
    fleet.setFaults(FAULTS);
    await this.#breakThings(performance.now() + 1000 * seconds);
    await Promise.all(this.#repairs);
    // The last events of all get lost: no later one shows the gap.
    for (const { proxy } of fleet.places) proxy.setCut(true);
    await this.#clients.stop();
    for (const { proxy } of fleet.places) proxy.setCut(false);
    fleet.setFaults({ dropped: 0, repeated: 0, delayed: 0 });
    const quietMs = performance.now();
    const { problems, comparedBlocks } = await this.#settle();
    const sum = (pick: 'passed' | 'dropped' | 'repeated' | 'delayed'): number =>
      fleet.places.reduce((total, { proxy }) => total + proxy.counts[pick], 0);
    return {
      seed,
      seconds,
      clients: this.#clients.tally,
      done: this.#done,
      events: {
        passed: sum('passed'),
        dropped: sum('dropped'),
        repeated: sum('repeated'),
        delayed: sum('delayed'),
      },
      comparedBlocks,
      healedSeconds: round(performance.now() - quietMs),
      restoredSeconds: round(this.#restoredMs),
      wrong: [...this.#clients.tally.wrong, ...this.#wrong, ...problems],
    };
  }

  async #breakThings(untilMs: number): Promise<void> {
    const acts: readonly (readonly [string, number, () => Promise<boolean>])[] = [
      ['worker hung', 1, () => this.#hangWorker()],
      ['worker killed', 5, () => this.#restartWorker('SIGKILL')],
      ['worker drained', 2, () => this.#restartWorker('SIGTERM')],
      ['events cut', 3, () => this.#cutEvents()],
      ['router killed', 0.5, () => this.#restartRouter('SIGKILL')],
      ['router drained', 0.5, () => this.#restartRouter('SIGTERM')],
    ];
    const urn = acts.flatMap((act) => Array.from({ length: 2 * act[1] }, () => act));
    // A short run has each of them too, if need be somewhat later: one that could not happen comes again.
    const lacking = new Set(acts);
    let reportMs = performance.now() + REPORT_EVERY_MS;
    while (performance.now() < untilMs + (lacking.size > 0 ? LACKING_WITHIN_MS : 0)) {
      const [first] = lacking;
      const chosen = first ?? urn[this.#random.nextInt(urn.length)]!;
      const [name, , act] = chosen;
      lacking.delete(chosen);
      const repair = act().then(
        (happened) => {
          if (happened) this.#done[name] = (this.#done[name] ?? 0) + 1;
          else if (this.#done[name] === undefined) lacking.add(chosen);
        },
        (thrown: unknown) => void this.#wrong.push(`${name}: ${thrown}`),
      );
      this.#repairs.add(repair);
      void repair.then(() => this.#repairs.delete(repair));
      await pause(600 + this.#random.nextInt(1800));
      if (performance.now() < reportMs) continue;
      reportMs += REPORT_EVERY_MS;
      const { asked, answered, handedOver, wrong } = this.#clients.tally;
      this.#options.progress?.(
        `${asked} asked, ${answered} answered, ${handedOver} by several engines, ${wrong.length} wrong`,
      );
    }
  }

  async #restartWorker(signal: 'SIGKILL' | 'SIGTERM'): Promise<boolean> {
    const place = this.#spareWorker();
    if (place === undefined) return false;
    await this.#fleet.endWorker(place, signal);
    await pause(this.#random.nextInt(2000));
    await this.#fleet.startWorker(place);
    return true;
  }

  /** Now and then so long that it is found out: until then requests go to it, and have to be taken from it again. */
  async #hangWorker(): Promise<boolean> {
    const place = this.#spareWorker();
    if (place === undefined) return false;
    const long = this.#done['worker hung'] === undefined || this.#random.next() < 0.5;
    this.#fleet.hangWorker(place);
    if (long) await this.#isFoundOut(place);
    else await pause(500 + this.#random.nextInt(3000));
    this.#fleet.wakeWorker(place);
    return true;
  }

  /** Waits until the router no longer counts on a worker, whatever it knew of its blocks. */
  async #isFoundOut({ url: engine }: Place): Promise<void> {
    const deadline = performance.now() + FIND_OUT_WITHIN_MS;
    for (;;) {
      await pause(100);
      const { ranks } = await json<{ ranks: { url: string }[] }>(`${this.#fleet.url}/debug/ranks`).catch(
        () => ({ ranks: [{ url: engine }] }),
      );
      if (!ranks.some(({ url }) => url === engine)) return;
      if (performance.now() > deadline) throw new Error(`${engine} hangs, and the router counts on it`);
    }
  }

  /** A worker that can be spared: one always stays, so that every request can be served. */
  #spareWorker(): Place | undefined {
    const up = this.#fleet.places.filter((each) => each.up);
    const place = up[this.#random.nextInt(up.length)];
    const canAnswer = up.some((each) => each !== place && each.role !== 'prefill');
    return canAnswer ? place : undefined;
  }

  async #cutEvents(): Promise<boolean> {
    const place: Place = this.#fleet.places[this.#random.nextInt(this.#fleet.places.length)]!;
    place.proxy.setCut(true);
    await pause(200 + this.#random.nextInt(2500));
    place.proxy.setCut(false);
    return true;
  }

  async #restartRouter(signal: 'SIGKILL' | 'SIGTERM'): Promise<boolean> {
    if (this.#routerDown) return false;
    this.#routerDown = true;
    if (signal === 'SIGKILL') this.#routerKilledMs = performance.now();
    await this.#fleet.endFrontend(signal);
    await this.#fleet.startFrontend();
    const startedMs = performance.now();
    await this.#allKnown();
    this.#routerUpMs = performance.now();
    this.#routerDown = false;
    this.#restoredMs = Math.max(this.#restoredMs, performance.now() - startedMs);
    return true;
  }

  /** Waits until the router serves, and has restored what the living workers hold. */
  async #allKnown(): Promise<void> {
    const { url, places } = this.#fleet;
    const deadline = performance.now() + RESTORE_WITHIN_MS;
    for (;;) {
      const alive = places.filter(({ up }) => up).length;
      const { ranks } = await json<{ ranks: { state: string }[] }>(`${url}/debug/ranks`).catch(() => ({
        ranks: [],
      }));
      if (ranks.filter(({ state }) => state === 'exact').length >= Math.max(1, alive - 1)) return;
      if (performance.now() > deadline) throw new Error('the router did not get to know its workers');
      await pause(50);
    }
  }

  async #settle(): Promise<{ problems: readonly string[]; comparedBlocks: number }> {
    const deadline = performance.now() + HEAL_WITHIN_MS;
    for (;;) {
      const found = await audit(this.#fleet);
      if (found.problems.length === 0 || performance.now() > deadline) return found;
      await pause(250);
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function round(ms: number): number {
  return Math.round(ms / 10) / 100;
}
