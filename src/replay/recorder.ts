import type { DecodeRun } from '../engine/decode-run.ts';
import type { Output, PressureRecord } from '../engine/pass.ts';
import type { EngineRequest } from '../engine/prompt.ts';
import type { Sequence } from '../engine/sequence.ts';
import { GapPool } from './gap-pool.ts';
import type { Target } from './placement.ts';
import type { RequestRecord, RoutingEntry } from './record.ts';

/** An engine request that knows its record. */
export interface RecordedRequest extends EngineRequest {
  readonly record: RequestRecord;
}

export function recordOf(sequence: Sequence): RequestRecord {
  return (sequence.request as RecordedRequest).record;
}

/** Keeps the times of all requests of a replay. */
export class Recorder {
  readonly records: RequestRecord[] = [];
  readonly gaps = new GapPool();
  readonly pressure: { readonly atNs: number; readonly record: PressureRecord }[] = [];
  #lastEndNs = 0;
  #admissions = 0;
  readonly #poolAdmissions = { agg: 0, prefill: 0, decode: 0 };

  /** End of the last request that was served to its end. */
  get lastEndNs(): number {
    return this.#lastEndNs;
  }

  admitted(
    record: RequestRecord,
    pool: 'agg' | 'prefill' | 'decode',
    atNs: number,
    reusedTokens: number,
  ): void {
    record.admissions.push({
      ordinal: this.#admissions++,
      pool,
      poolOrdinal: this.#poolAdmissions[pool]++,
      atNs,
      reusedTokens,
    });
  }

  routed(
    record: RequestRecord,
    pool: RoutingEntry['pool'],
    { worker, dpRank, overlapTokens }: Target,
    enteredAtNs: number,
    releasedAtNs: number,
  ): void {
    const outcome = releasedAtNs === enteredAtNs ? 'immediate' : 'queued';
    record.routing.push({ pool, outcome, enteredAtNs, releasedAtNs, worker, dpRank, overlapTokens });
  }

  pressed(record: PressureRecord, atNs: number): void {
    recordOf(record.sequence).pressure.push(this.pressure.length);
    this.pressure.push({ atNs, record });
  }

  /** A client received the tokens of one pass, which share one time stamp. */
  received(record: RequestRecord, { count, completed, rejected }: Output, atNs: number): void {
    for (let i = 0; i < count; i++) {
      if (record.firstTokenNs === undefined) record.firstTokenNs = atNs;
      else {
        record.secondTokenNs ??= atNs;
        this.gaps.add(atNs - record.lastTokenNs!);
      }
      record.lastTokenNs = atNs;
    }
    record.outputTokens += count;
    if (!completed) return;
    record.status = rejected ? 'rejected' : 'completed';
    record.terminalNs = atNs;
    if (!rejected) this.#lastEndNs = Math.max(this.#lastEndNs, atNs);
  }

  /** Several requests received a token at the end of each pass of a run. */
  receivedRun({ sequences, times }: DecodeRun): void {
    const firstEndNs = times[1]!;
    const lastEndNs = times.at(-1)!;
    for (const sequence of sequences) {
      const record = recordOf(sequence);
      record.secondTokenNs ??= firstEndNs;
      this.gaps.add(firstEndNs - record.lastTokenNs!);
      record.lastTokenNs = lastEndNs;
      record.outputTokens += times.length - 1;
    }
    for (let i = 2; i < times.length; i++) this.gaps.add(times[i]! - times[i - 1]!, sequences.length);
  }
}
