import type { EngineSettings } from '../engine/engine-settings.ts';
import type { Output } from '../engine/pass.ts';
import type { Prompt } from '../engine/prompt.ts';
import type { Sequence } from '../engine/sequence.ts';
import { Fleet, type FleetOptions } from './fleet.ts';
import type { Placement, Target } from './placement.ts';
import type { RequestRecord } from './record.ts';
import { type RecordedRequest, type Recorder, recordOf } from './recorder.ts';
import { transferNs } from './transfer.ts';
import { WorkerPool } from './worker-pool.ts';
import { promptOf } from './workload.ts';

export interface DisaggregatedOptions extends FleetOptions {
  readonly prefill: RoleOptions;
  readonly decode: RoleOptions;
  /** Transfer time where bytes or bandwidth are not known. */
  readonly handoffLatencyMs: number;
}

export interface RoleOptions {
  readonly engine: EngineSettings;
  readonly workers: number;
  readonly placement: Placement;
}

/** A request on its way through both pools. */
interface Journey {
  readonly record: RequestRecord;
  readonly prompt: Prompt;
  source: { readonly target: Target; readonly sequence: Sequence } | undefined;
  destination: { readonly target: Target; readonly sequence: Sequence } | undefined;
}

/**
 * Replays a workload on prefill and decode workers. vLLM computes the prompt, then looks for a place to decode;
 * SGLang reserves the place first. The prompt's blocks stay at the source until the destination has taken over.
 */
export async function replayDisaggregated(options: DisaggregatedOptions): Promise<Recorder> {
  const replay = new DisaggregatedReplay(options);
  await replay.run();
  return replay.fleet.recorder;
}

class DisaggregatedReplay {
  readonly fleet: Fleet;
  readonly #options: DisaggregatedOptions;
  readonly #prefill: WorkerPool;
  readonly #decode: WorkerPool;
  readonly #journeys = new Map<RequestRecord, Journey>();
  /** Journeys by the sequence that waits for a destination. */
  readonly #reserving = new Map<Sequence, Journey>();

  constructor(options: DisaggregatedOptions) {
    this.#options = options;
    this.fleet = new Fleet(options);
    const parts = { time: this.fleet.time, recorder: this.fleet.recorder };
    // Handoffs can bring work at any event, so nobody runs ahead of one.
    const horizonNs = (othersDue: boolean): number =>
      othersDue ? parts.time.nowNs : Math.min(this.fleet.nextArrivalNs, parts.time.nextNs);
    this.#prefill = new WorkerPool({
      ...parts,
      horizonNs,
      name: 'prefill',
      engines: this.fleet.engines(options.prefill.workers, {
        ...options.prefill.engine,
        workerType: 'prefill',
      }),
      onEvents: (worker, rank, events) => options.prefill.placement.kvEvents(worker, rank, events),
      onOutput: (output) => this.#prefilled(output),
    });
    this.#decode = new WorkerPool({
      ...parts,
      horizonNs,
      name: 'decode',
      engines: this.fleet.engines(options.decode.workers, { ...options.decode.engine, workerType: 'decode' }),
      onEvents: (worker, rank, events) => options.decode.placement.kvEvents(worker, rank, events),
      onOutput: (output, atNs) => this.#decoded(output, atNs),
      onFree: (worker) => {
        for (let rank = 0; rank < options.decode.engine.dpSize; rank++) this.#grant(worker, rank);
      },
    });
  }

  run(): Promise<void> {
    const { prefill, decode, workload } = this.#options;
    const arrive = (record: RequestRecord): void => {
      const prompt = promptOf(record.request, workload.traceBlockSize);
      const journey: Journey = { record, prompt, source: undefined, destination: undefined };
      this.#journeys.set(record, journey);
      if (decode.engine.backend === 'sglang') this.#placeDecode(journey);
      else this.#placePrefill(journey);
    };
    return this.fleet.run([this.#prefill, this.#decode], [prefill.placement, decode.placement], arrive, true);
  }

  #placePrefill(journey: Journey): void {
    const { record, prompt } = journey;
    const enteredNs = this.fleet.time.nowNs;
    this.#options.prefill.placement.place(record.request, prompt, {
      refuse: () => this.#drop(journey),
      send: (target) => {
        this.fleet.recorder.routed(record, 'prefill', target, enteredNs, this.fleet.time.nowNs);
        const request = engineRequest(journey, 1);
        const sequence = this.#prefill.rank(target.worker, target.dpRank).submit(request, true);
        journey.source = { target, sequence };
      },
    });
  }

  #prefilled({ sequence, completed, rejected }: Output): void {
    if (!completed) return;
    const record = recordOf(sequence);
    const journey = this.#journeys.get(record)!;
    this.#options.prefill.placement.prefilled(record.request);
    if (rejected) {
      this.#options.prefill.placement.ended(record.request);
      record.status = 'rejected';
      this.#finish(journey);
      return;
    }
    record.handoff!.sourceHeldNs = this.fleet.time.nowNs;
    if (journey.destination === undefined) this.#placeDecode(journey);
    else this.#transfer(journey);
  }

  #placeDecode(journey: Journey): void {
    const { record, prompt } = journey;
    const enteredNs = this.fleet.time.nowNs;
    this.#options.decode.placement.place(record.request, prompt, {
      refuse: () => this.#drop(journey),
      send: (target) => {
        this.fleet.recorder.routed(record, 'decode', target, enteredNs, this.fleet.time.nowNs);
        this.#reserve(journey, target);
      },
    });
  }

  #reserve(journey: Journey, target: Target): void {
    const rank = this.#decode.rank(target.worker, target.dpRank);
    const { engine } = this.#options.decode;
    if (Math.ceil(journey.prompt.length / engine.blockSize) > engine.numGpuBlocks) {
      journey.record.status = 'rejected';
      this.#options.decode.placement.ended(journey.record.request);
      this.#release(journey);
      this.#finish(journey);
      return;
    }
    const sequence = rank.expect(engineRequest(journey, journey.record.request.outputLength));
    journey.destination = { target, sequence };
    this.#reserving.set(sequence, journey);
    if (!this.#decode.isBusy(target.worker)) this.#grant(target.worker, target.dpRank);
  }

  /**
   * Gives the first in line on a rank its destination, if there is room. As in the reference, one is given when it
   * asks an idle worker, one at every end of a pass, and one at every activation.
   */
  #grant(worker: number, dpRank: number): void {
    const sequence = this.#decode.rank(worker, dpRank).remote.grant();
    if (sequence === undefined) return;
    const journey = this.#reserving.get(sequence)!;
    this.#reserving.delete(sequence);
    journey.record.handoff!.reservedNs = this.fleet.time.nowNs;
    if (journey.source === undefined) this.#placePrefill(journey);
    else this.#transfer(journey);
  }

  #transfer(journey: Journey): void {
    const { decode, handoffLatencyMs } = this.#options;
    const { target, sequence } = journey.destination!;
    const rank = this.#decode.rank(target.worker, target.dpRank);
    const missing = rank.remote.missingBlocks(sequence) * decode.engine.blockSize;
    const durationNs = transferNs(decode.engine.transfer, journey.prompt.length, missing, handoffLatencyMs);
    const { time } = this.fleet;
    time.at(time.nowNs + durationNs, () =>
      this.#decode.command(target.worker, () => this.#activate(journey)),
    );
  }

  #activate(journey: Journey): void {
    const { target, sequence } = journey.destination!;
    this.#decode.rank(target.worker, target.dpRank).activate(sequence);
    journey.record.handoff!.activatedNs = this.fleet.time.nowNs;
    this.#release(journey);
    this.#grant(target.worker, target.dpRank);
  }

  /** Lets the source go, at the end of the pass that it is in. */
  #release({ record, source }: Journey): void {
    if (source === undefined) return;
    const { target, sequence } = source;
    this.#prefill.command(target.worker, () => {
      this.#prefill.rank(target.worker, target.dpRank).releaseHeld(sequence);
      this.#options.prefill.placement.ended(record.request);
      record.handoff!.releasedNs = this.fleet.time.nowNs;
    });
  }

  #decoded(output: Output, atNs: number): void {
    const record = recordOf(output.sequence);
    const { placement } = this.#options.decode;
    const isFirst = record.firstTokenNs === undefined && output.count > 0;
    this.fleet.recorder.received(record, output, atNs);
    if (isFirst) placement.prefilled(record.request);
    if (!output.completed) return;
    placement.ended(record.request);
    this.#finish(this.#journeys.get(record)!);
  }

  #drop(journey: Journey): void {
    this.#journeys.delete(journey.record);
    this.#release(journey);
    this.fleet.refused(journey.record);
  }

  #finish({ record }: Journey): void {
    record.terminalNs ??= this.fleet.time.nowNs;
    this.#journeys.delete(record);
    this.fleet.ended(record);
  }
}

function engineRequest({ record, prompt }: Journey, maxOutputTokens: number): RecordedRequest {
  const { index, plannedTokens } = record.request;
  const planned = plannedTokens?.subarray(0, maxOutputTokens);
  return { id: String(index), prompt, maxOutputTokens, plannedTokens: planned, record };
}
