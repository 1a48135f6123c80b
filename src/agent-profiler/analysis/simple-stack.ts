import { byTime, type Trace, type TraceEvent } from '../input/event.ts';
import { llmName, toolName } from '../output/flat-table.ts';
import { byCodePoint, Column, getOrMake, Names } from './column.ts';
import { mean, percentile } from './confidence.ts';

/** Statistics of one model or tool, as workflow_profiling_metrics.json has them. */
export interface OperationStats {
  readonly operation_type: 'LLM' | 'TOOL';
  readonly operation_name: string;
  readonly usage_count: number;
  readonly avg_duration: number;
  readonly p95_duration: number;
  readonly p99_duration: number;
  readonly max_concurrency: number;
  readonly bottleneck_score: number;
}

/**
 * `request`: rows with one UUID are one call within a request, and what ends frees its place before what starts
 * at the same moment. `file`: the reference's reading, one call per UUID in the whole file, ties in UUID order.
 */
export type CallKey = 'request' | 'file';

interface OpenCall {
  rows: number;
  /** Of the earliest row. */
  type: 'LLM' | 'TOOL';
  firstS: number;
  /** Of the earliest row that has one. */
  name: string;
  namedS: number;
  startS: number;
  endS: number;
}

export class SimpleStackCollector {
  readonly #key: CallKey;
  readonly #open = new Map<string, OpenCall>();
  readonly #names = new Names();
  // Finished calls: type (0 LLM, 1 TOOL), name, start, end.
  readonly #types = Column.bytes();
  readonly #nameIds = Column.counts();
  readonly #starts = new Column();
  readonly #ends = new Column();

  constructor(key: CallKey) {
    this.#key = key;
  }

  add(trace: Trace): void {
    for (const event of byTime(trace.events)) {
      if (event.kind === 'LLM' || event.kind === 'TOOL') this.#row(event, event.kind);
    }
    if (this.#key === 'request') this.#flush([...this.#open.values()]);
  }

  finish(): readonly OperationStats[] {
    const rest = [...this.#open].sort(([a], [b]) => byCodePoint(a, b)).map(([, call]) => call);
    this.#flush(rest);
    const groups = new Map<
      string,
      { readonly type: 'LLM' | 'TOOL'; readonly nameId: number; readonly durations: Column }
    >();
    const byName = new Map<number, number[]>();
    for (let i = 0; i < this.#types.length; i++) {
      const type: 'LLM' | 'TOOL' = this.#types.at(i) === 0 ? 'LLM' : 'TOOL';
      const nameId = this.#nameIds.at(i);
      const key = `${type}:${nameId}`;
      const group = getOrMake(groups, key, () => ({ type, nameId, durations: new Column() }));
      group.durations.push(this.#ends.at(i) - this.#starts.at(i));
      getOrMake(byName, nameId, () => []).push(i);
    }
    const concurrency = new Map([...byName].map(([nameId, calls]) => [nameId, this.#maxConcurrency(calls)]));
    const stats = [...groups.values()].map(({ type, nameId, durations }) => {
      const ascending = durations.ascending();
      const average = mean(durations.view());
      const most = concurrency.get(nameId)!;
      return {
        operation_type: type,
        operation_name: this.#names.name(nameId),
        usage_count: ascending.length,
        avg_duration: average,
        p95_duration: percentile(ascending, 95),
        p99_duration: percentile(ascending, 99),
        max_concurrency: most,
        bottleneck_score: average * most,
      };
    });
    return stats.sort(
      (a, b) =>
        byCodePoint(a.operation_type, b.operation_type) || byCodePoint(a.operation_name, b.operation_name),
    );
  }

  /** Most calls at once over all calls of the file. */
  overallMaxConcurrency(): number {
    return this.#maxConcurrency(Array.from({ length: this.#types.length }, (_, i) => i));
  }

  /** A file may have the rows of a call out of order, when its requests overlap. */
  #row(event: TraceEvent, type: 'LLM' | 'TOOL'): void {
    const { timeS } = event;
    const call = getOrMake(this.#open, event.uuid, () => ({
      rows: 0,
      type,
      name: '',
      firstS: timeS,
      namedS: Number.POSITIVE_INFINITY,
      startS: Number.POSITIVE_INFINITY,
      endS: Number.NEGATIVE_INFINITY,
    }));
    call.rows++;
    if (timeS < call.firstS) {
      call.firstS = timeS;
      call.type = type;
    }
    const name = llmName(event) || toolName(event);
    if (name !== '' && timeS < call.namedS) {
      call.namedS = timeS;
      call.name = name;
    }
    if (event.phase === 'start') call.startS = Math.min(call.startS, timeS);
    if (event.phase === 'end') call.endS = Math.max(call.endS, timeS);
  }

  #flush(calls: readonly OpenCall[]): void {
    for (const { rows, type, name, startS, endS } of calls) {
      if (rows < 2 || startS === Number.POSITIVE_INFINITY || endS === Number.NEGATIVE_INFINITY) continue;
      this.#types.push(type === 'LLM' ? 0 : 1);
      this.#nameIds.push(this.#names.id(name));
      this.#starts.push(startS);
      this.#ends.push(this.#key === 'request' ? Math.max(startS, endS) : endS);
    }
    this.#open.clear();
  }

  #maxConcurrency(calls: readonly number[]): number {
    // Two moments a call: its start, then its end, in the order of the calls.
    const moments = new Float64Array(calls.length * 2);
    for (const [i, call] of calls.entries()) {
      moments[2 * i] = this.#starts.at(call);
      moments[2 * i + 1] = this.#ends.at(call);
    }
    const rank = (moment: number): number => {
      if (this.#key === 'file') return moment;
      // Ends before starts; but the end of a call of no length after its own start.
      const instant = moments[moment & ~1] === moments[moment | 1];
      return moment % 2 === 0 ? 1 : instant ? 2 : 0;
    };
    const order = Uint32Array.from(moments.keys()).sort(
      (a, b) => moments[a]! - moments[b]! || rank(a) - rank(b),
    );
    let running = 0;
    let most = 0;
    for (const moment of order) {
      running += moment % 2 === 0 ? 1 : -1;
      if (running > most) most = running;
    }
    return most;
  }
}
