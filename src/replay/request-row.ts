import { firstReuse, largestReuse, type RequestRecord } from './record.ts';
import { e2eOf, tpotOf, ttftOf, ttstOf } from './report.ts';

/** A record as a line of the per-request file: the reference's field names, times in ms, ids counted from 1. */
export function requestRow(record: RequestRecord, dpSize: number): Readonly<Record<string, unknown>> {
  const { request, routing, admissions, handoff } = record;
  const scheduler = (pool: string): number | null => {
    const entry = routing.findLast((each) => each.pool === pool);
    return entry === undefined ? null : entry.worker * dpSize + entry.dpRank;
  };
  return {
    request_id: request.requestId ?? String(request.index + 1),
    session_id: request.session.id,
    turn_index: request.turn,
    metadata: {},
    uuid: request.index + 1,
    arrival_time_ms: ms(record.arrivalNs),
    first_admit_ms: ms(admissions[0]?.atNs),
    first_token_ms: ms(record.firstTokenNs),
    last_token_ms: ms(record.lastTokenNs),
    terminal_time_ms: ms(record.terminalNs),
    ttft_ms: ttftOf(record) ?? null,
    ttst_ms: ttstOf(record) ?? null,
    itl_ms: tpotOf(record) ?? null,
    e2e_latency_ms: record.terminalNs === undefined ? null : e2eOf(record),
    input_length: request.inputLength,
    requested_output_length: request.outputLength,
    output_length: record.outputTokens,
    reused_input_tokens: largestReuse(record),
    first_admission_reused_input_tokens: firstReuse(record),
    prefill_worker_idx: scheduler('prefill'),
    decode_worker_idx: scheduler('decode') ?? scheduler('agg'),
    prefill_admit_ms: ms(admissions.find(({ pool }) => pool === 'prefill')?.atNs),
    source_held_ms: ms(handoff?.sourceHeldNs),
    destination_reserved_ms: ms(handoff?.reservedNs),
    destination_activated_ms: ms(handoff?.activatedNs),
    decode_admit_ms: ms(admissions.find(({ pool }) => pool === 'decode')?.atNs),
    source_released_ms: ms(handoff?.releasedNs),
    decode_reused_input_tokens: handoff?.reusedTokens ?? null,
    prefill_route_overlap_tokens: routing.find(({ pool }) => pool === 'prefill')?.overlapTokens ?? null,
    decode_route_overlap_tokens: routing.find(({ pool }) => pool !== 'prefill')?.overlapTokens ?? null,
    routing_history: routing.map((entry) => ({
      pool: entry.pool,
      outcome: entry.outcome,
      queue_entered_at_ms: ms(entry.enteredAtNs),
      released_at_ms: ms(entry.releasedAtNs),
      queue_wait_ms: ms(entry.releasedAtNs - entry.enteredAtNs),
      logical_worker_id: entry.worker,
      scheduler_id: entry.worker * dpSize + entry.dpRank,
      dp_rank: entry.dpRank,
      reported_overlap_tokens: entry.overlapTokens,
    })),
    admission_history: admissions.map((entry, i) => ({
      admission_ordinal: entry.ordinal + 1,
      pool_admission_ordinal: entry.poolOrdinal + 1,
      pool: entry.pool,
      at_ms: ms(entry.atNs),
      reused_input_tokens: entry.reusedTokens,
      is_readmission: admissions.slice(0, i).some(({ pool }) => pool === entry.pool),
    })),
    admission_count: admissions.length,
    readmission_count: admissions.length - new Set(admissions.map(({ pool }) => pool)).size,
    pressure_record_ordinals: record.pressure.map((ordinal) => ordinal + 1),
    terminal_status: record.status ?? null,
  };
}

function ms(ns: number | undefined): number | null {
  return ns === undefined ? null : ns / 1e6;
}
