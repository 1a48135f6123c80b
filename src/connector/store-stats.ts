import { MOONCAKE_STORE } from '../metrics/names/connector.ts';
import { Column, isAmount } from './column.ts';
import {
  isMap,
  type KvConnectorStats,
  type MetricSink,
  type Reduced,
  type ReportDrop,
  type TransferTotals,
} from './stats.ts';

const OPERATIONS: readonly string[] = ['load_get', 'lookup_exists', 'save_exists', 'save_put'];
const STATUSES = ['ok', 'error'] as const;
type Status = (typeof STATUSES)[number];

interface Cell {
  readonly durations: Column;
  keys: number;
  bytes: number;
  failedKeys: number;
}

type Operation = Readonly<Record<Status, Cell>>;

/** Operations on a Mooncake store, as lists of `{duration_seconds, num_keys, num_bytes, status, num_failed_keys}`. */
export class StoreStats implements KvConnectorStats {
  readonly #operations = new Map<string, Operation>(
    OPERATIONS.map((name) => [name, { ok: emptyCell(), error: emptyCell() }]),
  );

  read(data: unknown, report: ReportDrop): void {
    if (!isMap(data)) {
      report('not_a_map');
      return;
    }
    for (const [name, records] of Object.entries(data)) {
      const operation = this.#operations.get(name);
      if (operation === undefined) report('unknown_key');
      else if (Array.isArray(records)) for (const record of records) readRecord(operation, record, report);
      else if (isMap(records))
        for (const status of STATUSES) readCell(operation[status], records[status], report);
      else report('unreadable_value');
    }
  }

  data(): Record<string, unknown> {
    return Object.fromEntries(
      [...this.#operations].map(([name, { ok, error }]) => [
        name,
        { ok: cellData(ok), error: cellData(error) },
      ]),
    );
  }

  aggregate(other: KvConnectorStats): KvConnectorStats {
    if (!(other instanceof StoreStats)) return this;
    for (const [name, operation] of other.#operations)
      for (const status of STATUSES) mergeCell(this.#operations.get(name)![status], operation[status]);
    return this;
  }

  reduce(): Reduced {
    return [...this.#operations].flatMap(([name, { ok, error }]) => {
      const all = new Column();
      all.merge(ok.durations);
      all.merge(error.durations);
      if (all.count === 0) return [];
      return [
        { key: `${name}_count`, value: all.count, kind: 'int' as const },
        { key: `${name}_avg_ms`, value: all.mean * 1e3, kind: 'float' as const },
        { key: `${name}_p90_ms`, value: nearestRank90(all) * 1e3, kind: 'float' as const },
        { key: `${name}_total_keys`, value: ok.keys + error.keys, kind: 'int' as const },
        { key: `${name}_total_bytes`, value: ok.bytes + error.bytes, kind: 'int' as const },
        { key: `${name}_failed_keys`, value: ok.failedKeys + error.failedKeys, kind: 'int' as const },
        { key: `${name}_error_count`, value: error.durations.count, kind: 'int' as const },
      ];
    });
  }

  reset(): void {
    for (const name of OPERATIONS) this.#operations.set(name, { ok: emptyCell(), error: emptyCell() });
  }

  isEmpty(): boolean {
    return [...this.#operations.values()].every(
      ({ ok, error }) => ok.durations.count + error.durations.count === 0,
    );
  }

  totals(): TransferTotals {
    const cells = [...this.#operations.values()].map(({ ok }) => ok);
    const failed = [...this.#operations].map(([name, { error }]) => [name, error.durations.count]);
    return {
      transfers: cells.reduce((sum, { durations }) => sum + durations.count, 0),
      sizeBytes: cells.reduce((sum, { bytes }) => sum + bytes, 0),
      busyS: cells.reduce((sum, { durations }) => sum + durations.sum, 0),
      failures: Object.fromEntries(failed) as Record<string, number>,
    };
  }

  record(sink: MetricSink): void {
    for (const [operation, cells] of this.#operations) {
      for (const status of STATUSES) {
        const { durations, keys, bytes, failedKeys } = cells[status];
        if (durations.count === 0) continue;
        const labels = { operation, status };
        const histogram = sink.histogram(MOONCAKE_STORE.operationTimeSeconds, labels);
        durations.visit((value, times) => histogram.observe(value, times));
        sink.counter(MOONCAKE_STORE.operationTotal, labels).inc(durations.count);
        sink.counter(MOONCAKE_STORE.keysTotal, labels).inc(keys);
        sink.counter(MOONCAKE_STORE.bytesTotal, labels).inc(bytes);
        sink.counter(MOONCAKE_STORE.failedKeysTotal, labels).inc(failedKeys);
      }
    }
  }
}

function emptyCell(): Cell {
  return { durations: new Column(), keys: 0, bytes: 0, failedKeys: 0 };
}

function readRecord(operation: Operation, record: unknown, report: ReportDrop): void {
  const {
    duration_seconds: durationS,
    num_keys,
    num_bytes,
    status,
    num_failed_keys,
  } = isMap(record) ? record : {};
  const [keys = 0, bytes = 0, failedKeys = 0] = [num_keys, num_bytes, num_failed_keys];
  if (!isAmount(durationS) || !isAmount(keys) || !isAmount(bytes) || !isAmount(failedKeys)) {
    report('bad_value');
    return;
  }
  const cell = operation[status === 'error' ? 'error' : 'ok'];
  cell.durations.push(durationS);
  cell.keys += keys;
  cell.bytes += bytes;
  cell.failedKeys += failedKeys;
}

function cellData({ durations, keys, bytes, failedKeys }: Cell): object {
  return { durations: durations.data(), keys, bytes, failed_keys: failedKeys };
}

function readCell(cell: Cell, data: unknown, report: ReportDrop): void {
  const { durations, keys, bytes, failed_keys: failedKeys } = isMap(data) ? data : {};
  if (!isAmount(keys) || !isAmount(bytes) || !isAmount(failedKeys)) {
    report('bad_value');
    return;
  }
  if (Array.isArray(durations)) {
    for (const value of durations) {
      if (isAmount(value)) cell.durations.push(value);
      else report('bad_value');
    }
  } else if (!cell.durations.readSketched(durations)) {
    report('unreadable_value');
    return;
  }
  cell.keys += keys;
  cell.bytes += bytes;
  cell.failedKeys += failedKeys;
}

function mergeCell(to: Cell, from: Cell): void {
  to.durations.merge(from.durations);
  to.keys += from.keys;
  to.bytes += from.bytes;
  to.failedKeys += from.failedKeys;
}

function nearestRank90(column: Column): number {
  const data = column.data();
  if (!('length' in data)) return column.p90;
  const sorted = [...data].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.trunc(0.9 * sorted.length - 1e-12)))]!;
}
