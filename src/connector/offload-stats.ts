import { OFFLOAD } from '../metrics/names/connector.ts';
import { Column, isAmount } from './column.ts';
import {
  isMap,
  type KvConnectorStats,
  type MetricSink,
  type Reduced,
  type ReportDrop,
  type TransferTotals,
} from './stats.ts';

/** Media are few; what exceeds this is no direction. */
const MAX_DIRECTIONS = 32;
const DIRECTION = /^\w{1,32}_to_\w{1,32}$/;

interface Direction {
  readonly sizes: Column;
  readonly times: Column;
}

/** Copies between tiers, by direction such as `GPU_to_CPU`: a list of `{op_size, op_time}`, bytes and seconds. */
export class OffloadStats implements KvConnectorStats {
  readonly #directions = new Map<string, Direction>();

  read(data: unknown, report: ReportDrop): void {
    if (!isMap(data)) {
      report('not_a_map');
      return;
    }
    for (const [name, operations] of Object.entries(data)) {
      if (!DIRECTION.test(name)) report('unknown_key');
      else if (Array.isArray(operations)) this.#readOperations(name, operations, report);
      else this.#readSketched(name, operations, report);
    }
  }

  data(): Record<string, unknown> {
    return Object.fromEntries(
      [...this.#directions].map(([name, { sizes, times }]) => {
        if (!sizes.isExact) return [name, { op_size: sizes.data(), op_time: times.data() }];
        const timeList = times.data() as readonly number[];
        const list = (sizes.data() as readonly number[]).map((size, i) => ({
          op_size: size,
          op_time: timeList[i]!,
        }));
        return [name, list];
      }),
    );
  }

  aggregate(other: KvConnectorStats): KvConnectorStats {
    if (!(other instanceof OffloadStats)) return this;
    for (const [name, { sizes, times }] of other.#directions) {
      const own = this.#direction(name);
      own?.sizes.merge(sizes);
      own?.times.merge(times);
    }
    return this;
  }

  reduce(): Reduced {
    return [...this.#directions].flatMap(([name, { sizes, times }]) => [
      { key: `${name}_total_bytes`, value: sizes.runningSum, kind: 'int' as const },
      { key: `${name}_total_time`, value: times.runningSum, kind: 'float' as const },
    ]);
  }

  reset(): void {
    this.#directions.clear();
  }

  isEmpty(): boolean {
    return this.#directions.size === 0;
  }

  totals(): TransferTotals {
    const all = [...this.#directions.values()];
    return {
      transfers: all.reduce((sum, { sizes }) => sum + sizes.count, 0),
      sizeBytes: all.reduce((sum, { sizes }) => sum + sizes.runningSum, 0),
      busyS: all.reduce((sum, { times }) => sum + times.runningSum, 0),
      failures: {},
    };
  }

  record(sink: MetricSink): void {
    for (const [transferType, { sizes, times }] of this.#directions) {
      const labels = { transfer_type: transferType };
      const histogram = sink.histogram(OFFLOAD.size, labels);
      sizes.visit((size, count) => histogram.observe(size, count));
      sink.counter(OFFLOAD.totalBytesTotal, labels).inc(sizes.runningSum);
      sink.counter(OFFLOAD.totalTimeTotal, labels).inc(times.runningSum);
    }
  }

  #readOperations(name: string, operations: readonly unknown[], report: ReportDrop): void {
    const direction = this.#direction(name);
    if (direction === undefined) {
      report('too_many_keys');
      return;
    }
    for (const operation of operations) {
      const { op_size: size, op_time: time } = isMap(operation) ? operation : {};
      if (isAmount(size) && isAmount(time)) {
        direction.sizes.push(size);
        direction.times.push(time);
      } else report('bad_value');
    }
  }

  #readSketched(name: string, data: unknown, report: ReportDrop): void {
    const direction = this.#direction(name);
    if (direction === undefined) {
      report('too_many_keys');
      return;
    }
    const { op_size: sizes, op_time: times } = isMap(data) ? data : {};
    if (!direction.sizes.readSketched(sizes) || !direction.times.readSketched(times))
      report('unreadable_value');
  }

  #direction(name: string): Direction | undefined {
    const known = this.#directions.get(name);
    if (known !== undefined || this.#directions.size >= MAX_DIRECTIONS) return known;
    const direction = { sizes: new Column(), times: new Column() };
    this.#directions.set(name, direction);
    return direction;
  }
}
