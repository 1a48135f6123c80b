import type { ConnectorRegistry } from './connector-registry.ts';
import { OpenStats } from './open-stats.ts';
import {
  isMap,
  type KvConnectorStats,
  type MetricSink,
  type Reduced,
  type ReportDrop,
  type TransferTotals,
} from './stats.ts';

const MAX_CHILDREN = 32;

/** Several connectors at once, by name; each child comes as `{data: {...}}`, or bare where nothing wrapped it. */
export class MultiStats implements KvConnectorStats {
  readonly #registry: ConnectorRegistry;
  readonly #children = new Map<string, KvConnectorStats>();

  constructor(registry: ConnectorRegistry) {
    this.#registry = registry;
  }

  read(data: unknown, report: ReportDrop): void {
    if (!isMap(data)) {
      report('not_a_map');
      return;
    }
    for (const [name, value] of Object.entries(data)) {
      const child = this.#child(name, report);
      child?.read(isMap(value) && isMap(value.data) ? value.data : value, report);
    }
  }

  data(): Record<string, unknown> {
    return Object.fromEntries([...this.#children].map(([name, child]) => [name, { data: child.data() }]));
  }

  aggregate(other: KvConnectorStats): KvConnectorStats {
    if (!(other instanceof MultiStats)) return this;
    for (const [name, child] of other.#children) this.#child(name, () => {})?.aggregate(child);
    return this;
  }

  reduce(): Reduced {
    return [...this.#children].map(([key, child]) => ({
      key,
      // A child is a simple connector, so its numbers have no groups.
      children: child.reduce().flatMap((stat) => ('children' in stat ? stat.children : [stat])),
    }));
  }

  reset(): void {
    this.#children.clear();
  }

  isEmpty(): boolean {
    return [...this.#children.values()].every((child) => child.isEmpty());
  }

  totals(): TransferTotals {
    const totals = [...this.#children.values()].map((child) => child.totals());
    const failures: Record<string, number> = {};
    for (const each of totals)
      for (const [kind, count] of Object.entries(each.failures))
        failures[kind] = (failures[kind] ?? 0) + count;
    return {
      transfers: totals.reduce((sum, { transfers }) => sum + transfers, 0),
      sizeBytes: totals.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      busyS: totals.reduce((sum, { busyS }) => sum + busyS, 0),
      failures,
    };
  }

  /** Children record under their own names, see {@link children}. */
  record(sink: MetricSink): void {
    for (const child of this.#children.values()) child.record(sink);
  }

  children(): Iterable<readonly [string, KvConnectorStats]> {
    return this.#children;
  }

  #child(name: string, report: ReportDrop): KvConnectorStats | undefined {
    const known = this.#children.get(name);
    if (known !== undefined) return known;
    if (this.#children.size >= MAX_CHILDREN || name.length > 128) {
      report('too_many_keys');
      return undefined;
    }
    const definition = this.#registry.find(name);
    // A connector of connectors inside another would nest without end.
    const made = definition.nests === true ? new OpenStats() : definition.create(this.#registry);
    if (made === undefined) {
      report('no_stats');
      return undefined;
    }
    this.#children.set(name, made);
    return made;
  }
}
