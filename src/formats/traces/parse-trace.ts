import { azureReader, burstGptReader, type CsvReader, csvCells } from './csv-row.ts';
import { detectFormat, timeUnit } from './detect-format.ts';
import { mooncakeRow, vllmCustomRow, WideIds, wekaRow } from './json-row.ts';
import { type RowPlace, rowError } from './row-error.ts';
import type { TimeUnit, Trace, TraceFormat, TraceRow } from './trace.ts';

export interface TraceOptions {
  /** Detected from the first line when absent. */
  readonly format?: TraceFormat | undefined;
  /** Tokens per hash id; 512, or 64 for weka. */
  readonly blockSize?: number | undefined;
  /** Unit of the file's times; the format's own, or inferred from the span, when absent. */
  readonly unit?: TimeUnit | undefined;
  /** Cut what disagrees (`hash_ids` or `input_length`, whichever is longer) instead of failing. */
  readonly repair?: boolean | undefined;
  /** BurstGPT: rows of this model only. */
  readonly model?: string | undefined;
  /** Name of the file, for messages. */
  readonly source?: string | undefined;
}

const DOCUMENTED_UNIT: Readonly<Partial<Record<TraceFormat, TimeUnit>>> = {
  mooncake: 'ms',
  'mooncake-delta': 'ms',
  burstgpt: 's',
};

/** Reads a whole trace: `parseTrace(text).rows`. */
export function parseTrace(text: string | Iterable<string>, options: TraceOptions = {}): Trace {
  const parser = new TraceParser(options);
  for (const line of typeof text === 'string' ? text.split('\n') : text) parser.push(line);
  return parser.finish();
}

/** Takes a trace line by line, so that its text is never held whole. Blank lines are skipped. */
export class TraceParser {
  readonly #options: TraceOptions;
  readonly #source: string;
  readonly #wide = new WideIds();
  readonly #rows: TraceRow[] = [];
  #format: TraceFormat | undefined;
  #csv: CsvReader | undefined;
  #line = 0;
  #repaired = 0;

  constructor(options: TraceOptions = {}) {
    this.#options = options;
    this.#source = options.source ?? 'trace';
    this.#format = options.format;
  }

  push(line: string): void {
    this.#line++;
    const text = (this.#line === 1 ? line.replace(/^\uFEFF/, '') : line).trim();
    if (text === '') return;
    const place = { source: this.#source, line: this.#line };
    this.#format ??= detectFormat(text, this.#source);
    if (this.#format === 'azure' || this.#format === 'burstgpt') this.#pushCsv(csvCells(text), place);
    else this.#rows.push(this.#agreeing(this.#jsonRow(text, place), place));
  }

  finish(): Trace {
    const place = { source: this.#source, line: this.#line };
    const format = this.#format;
    if (format === undefined || this.#rows.length === 0) {
      throw rowError(place, 'ends without a request', 'The trace is empty: check the file.');
    }
    const scale = this.#timeScale(format);
    const scaled = scale === 1 ? this.#rows : this.#rows.map((row) => inMs(row, scale));
    const warnings: string[] = [];
    const rows = inOrder(scaled);
    if (rows !== scaled) warnings.push(`${this.#source}: timestamps are not in order; rows were sorted`);
    if (this.#repaired > 0) {
      warnings.push(
        `${this.#source}: ${this.#repaired} rows had lengths that disagree with their hash_ids and were cut`,
      );
    }
    return { format, blockSize: this.#blockSize(), rows, repairedRows: this.#repaired, warnings };
  }

  #pushCsv(cells: readonly string[], place: RowPlace): void {
    if (this.#csv === undefined) {
      this.#csv =
        this.#format === 'azure'
          ? azureReader(cells, place)
          : burstGptReader(cells, place, 1, this.#options.model);
      return;
    }
    const row = this.#csv(cells, place);
    if (row !== undefined) this.#rows.push(row);
  }

  #jsonRow(text: string, place: RowPlace): TraceRow {
    switch (this.#format) {
      case 'weka':
        return wekaRow(text, place, 1, this.#wide);
      case 'vllm-custom':
        return vllmCustomRow(text, place);
      default:
        return mooncakeRow(text, place, 1, this.#wide);
    }
  }

  /** The row, its ids and input length agreeing: as they were, or cut when repairing. */
  #agreeing(row: TraceRow, place: RowPlace): TraceRow {
    if (row.hashIds === undefined || this.#format === 'mooncake-delta') return row;
    const size = this.#blockSize();
    const needed = Math.ceil(row.inputLength / size);
    if (row.hashIds.length === needed) return row;
    if (this.#options.repair !== true) {
      throw rowError(
        place,
        `has ${row.hashIds.length} hash_ids where an input of ${row.inputLength} tokens needs ${needed} blocks of ${size}`,
        `Set the block size of the trace${fittingSize(row)}, or ask for repair, which cuts the longer of both.`,
      );
    }
    this.#repaired++;
    const inputLength = Math.min(row.inputLength, row.hashIds.length * size);
    return { ...row, inputLength, hashIds: row.hashIds.slice(0, needed) };
  }

  #blockSize(): number {
    return this.#options.blockSize ?? (this.#format === 'weka' ? 64 : 512);
  }

  #timeScale(format: TraceFormat): number {
    // An Azure stamp is a date; vLLM's rows have no time.
    if (format === 'azure' || format === 'vllm-custom') return 1;
    const times = this.#rows.flatMap((row) => (row.timestampMs === undefined ? [] : [row.timestampMs]));
    const unit = this.#options.unit ?? timeUnit(times, DOCUMENTED_UNIT[format], this.#source);
    return unit === 's' ? 1000 : 1;
  }
}

const USUAL_SIZES = [1024, 512, 256, 128, 64, 32, 16];

/** Names a usual block size under which a row's ids and length agree, if there is one. */
function fittingSize({ hashIds, inputLength }: TraceRow): string {
  const size = USUAL_SIZES.find((one) => Math.ceil(inputLength / one) === hashIds?.length);
  return size === undefined ? '' : ` (${size} would fit)`;
}

function inMs(row: TraceRow, scale: number): TraceRow {
  return {
    ...row,
    timestampMs: row.timestampMs === undefined ? undefined : row.timestampMs * scale,
    ...(row.delayMs === undefined ? {} : { delayMs: row.delayMs * scale }),
  };
}

/**
 * Rows stably sorted by arrival; the same array if they already are. A row without a timestamp, and every later turn
 * of a session, stays behind its session's earlier rows.
 */
function inOrder(rows: readonly TraceRow[]): readonly TraceRow[] {
  const keys: number[] = [];
  const lastOf = new Map<string, number>();
  let previous = Number.NEGATIVE_INFINITY;
  let sorted = true;
  for (const row of rows) {
    const turnBefore = row.sessionId === undefined ? undefined : lastOf.get(row.sessionId);
    const own = row.timestampMs ?? turnBefore ?? Math.max(previous, 0);
    const key = turnBefore === undefined ? own : Math.max(own, turnBefore);
    if (row.timestampMs !== undefined && row.timestampMs < previous && turnBefore === undefined)
      sorted = false;
    if (row.sessionId !== undefined) lastOf.set(row.sessionId, key);
    if (row.timestampMs !== undefined) previous = Math.max(previous, row.timestampMs);
    keys.push(key);
  }
  if (sorted) return rows;
  const order = rows.map((_, index) => index).sort((a, b) => keys[a]! - keys[b]! || a - b);
  return order.map((index) => rows[index]!);
}
