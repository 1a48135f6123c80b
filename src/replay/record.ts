import type { WorkloadRequest } from './workload.ts';

export type TerminalStatus = 'completed' | 'rejected' | 'canceled' | 'failed';

/** One admission of a request by an engine. */
export interface AdmissionEntry {
  readonly ordinal: number;
  readonly pool: 'agg' | 'prefill' | 'decode';
  readonly poolOrdinal: number;
  readonly atNs: number;
  readonly reusedTokens: number;
}

/** One routing decision about a request. */
export interface RoutingEntry {
  readonly pool: 'agg' | 'prefill' | 'decode';
  readonly outcome: 'immediate' | 'queued';
  readonly enteredAtNs: number;
  readonly releasedAtNs: number;
  readonly worker: number;
  readonly dpRank: number;
  /** Tokens that the router expected to be cached there; 0 when it does not look. */
  readonly overlapTokens: number;
}

/** What happened to one request; times in ns from the start of the replay. */
export interface RequestRecord {
  readonly request: WorkloadRequest;
  readonly arrivalNs: number;
  firstTokenNs: number | undefined;
  secondTokenNs: number | undefined;
  lastTokenNs: number | undefined;
  terminalNs: number | undefined;
  outputTokens: number;
  status: TerminalStatus | undefined;
  readonly admissions: AdmissionEntry[];
  readonly routing: RoutingEntry[];
  /** Positions of its preemptions or retractions in the replay's list. */
  readonly pressure: number[];
  /** Disaggregated only. */
  readonly handoff: HandoffTimes | undefined;
}

/** Instants of a handoff from prefill to decode, ns. */
export interface HandoffTimes {
  sourceHeldNs: number | undefined;
  reservedNs: number | undefined;
  activatedNs: number | undefined;
  releasedNs: number | undefined;
  /** Prompt tokens that the destination had already. */
  reusedTokens: number;
}

export function newRecord(
  request: WorkloadRequest,
  arrivalNs: number,
  disaggregated: boolean,
): RequestRecord {
  return {
    request,
    arrivalNs,
    firstTokenNs: undefined,
    secondTokenNs: undefined,
    lastTokenNs: undefined,
    terminalNs: undefined,
    outputTokens: 0,
    status: undefined,
    admissions: [],
    routing: [],
    pressure: [],
    handoff: disaggregated
      ? {
          sourceHeldNs: undefined,
          reservedNs: undefined,
          activatedNs: undefined,
          releasedNs: undefined,
          reusedTokens: 0,
        }
      : undefined,
  };
}

/** Prompt tokens reused at the first admission: what an engine reports as cached. */
export function firstReuse(record: RequestRecord): number {
  return record.admissions[0]?.reusedTokens ?? 0;
}

/** The most prompt tokens reused at any admission. */
export function largestReuse(record: RequestRecord): number {
  let largest = 0;
  for (const { reusedTokens } of record.admissions) largest = Math.max(largest, reusedTokens);
  return largest;
}
