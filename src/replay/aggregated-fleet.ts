import type { EngineSettings } from '../engine/engine-settings.ts';
import type { Output } from '../engine/pass.ts';
import type { Prompt } from '../engine/prompt.ts';
import { Fleet, type FleetOptions } from './fleet.ts';
import type { Placement, Target } from './placement.ts';
import type { RequestRecord } from './record.ts';
import { type RecordedRequest, type Recorder, recordOf } from './recorder.ts';
import { WorkerPool } from './worker-pool.ts';
import { promptOf } from './workload.ts';

export interface AggregatedOptions extends FleetOptions {
  readonly engine: EngineSettings;
  readonly workers: number;
  /** How fast each is; all alike where absent. */
  readonly speeds?: readonly number[];
  readonly placement: Placement;
}

/** Replays a workload on workers that both prefill and decode. */
export async function replayAggregated(options: AggregatedOptions): Promise<Recorder> {
  const { engine, workers, speeds, placement, workload } = options;
  const fleet = new Fleet(options);
  const pool = new WorkerPool({
    name: 'agg',
    engines: fleet.engines(workers, engine, speeds),
    time: fleet.time,
    recorder: fleet.recorder,
    horizonNs: (othersDue) => fleet.horizonNs(placement, othersDue),
    onEvents: (worker, rank, events) => placement.kvEvents(worker, rank, events),
    onOutput: (output, atNs) => receive(fleet, placement, output, atNs),
  });
  const arrive = (record: RequestRecord): void => {
    const prompt = promptOf(record.request, workload.traceBlockSize);
    placement.place(record.request, prompt, {
      send: (target) => send(fleet, pool, record, prompt, target),
      refuse: () => fleet.refused(record),
    });
  };
  await fleet.run([pool], [placement], arrive, false);
  return fleet.recorder;
}

function send(fleet: Fleet, pool: WorkerPool, record: RequestRecord, prompt: Prompt, target: Target): void {
  fleet.recorder.routed(record, 'agg', target, record.arrivalNs, fleet.time.nowNs);
  const { request } = record;
  const engineRequest: RecordedRequest = {
    id: String(request.index),
    prompt,
    maxOutputTokens: request.outputLength,
    plannedTokens: request.plannedTokens,
    record,
  };
  // What comes during a pass waits in the queue that the next pass looks at.
  pool.rank(target.worker, target.dpRank).submit(engineRequest);
}

function receive(fleet: Fleet, placement: Placement, output: Output, atNs: number): void {
  const record = recordOf(output.sequence);
  const isFirst = record.firstTokenNs === undefined && output.count > 0;
  fleet.recorder.received(record, output, atNs);
  if (isFirst) placement.prefilled(record.request);
  if (!output.completed) return;
  placement.ended(record.request);
  fleet.ended(record);
}
