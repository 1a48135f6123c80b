export const TRACE_FORMATS = [
  'mooncake',
  'mooncake-delta',
  'weka',
  'azure',
  'burstgpt',
  'vllm-custom',
] as const;
export type TraceFormat = (typeof TRACE_FORMATS)[number];

export const TIME_UNITS = ['ms', 's'] as const;
export type TimeUnit = (typeof TIME_UNITS)[number];

/** One request of a trace, whatever format it came from. */
export interface TraceRow {
  /** Line of the file it was on, from 1. */
  readonly line: number;
  /** Arrival on the trace's own scale; undefined when the row only follows an earlier turn of its session. */
  readonly timestampMs: number | undefined;
  /** Tokens of the prompt; in a `mooncake-delta` row, of what this turn adds to it. */
  readonly inputLength: number;
  readonly outputLength: number;
  /** One id per block of the prompt, standing for the block and all before it; undefined without prefix data. */
  readonly hashIds?: readonly number[];
  readonly requestId?: string;
  readonly sessionId?: string;
  /** Wait after the previous turn of the session has ended. */
  readonly delayMs?: number;
  readonly outputTokenIds?: readonly number[];
  readonly priority?: number;
  readonly strictPriority?: number;
  readonly policyClass?: string;
  /** Literal prompt, in formats that carry one; `inputLength` is then 0 until a tokenizer counts it. */
  readonly prompt?: string;
}

/** A whole trace, its rows in order of arrival (rows without a timestamp keep their place). */
export interface Trace {
  readonly format: TraceFormat;
  /** Tokens behind one hash id: 512 in Mooncake, 64 in weka, unless the reader was told otherwise. */
  readonly blockSize: number;
  readonly rows: readonly TraceRow[];
  /** Rows whose lengths were made to agree with their ids, with `repair`. */
  readonly repairedRows: number;
  readonly warnings: readonly string[];
}
