import { fail } from '../base/errors.ts';
import type { FamilySpec } from '../metrics/spec.ts';
import { CONNECTORS } from './connectors.ts';
import { OpenStats } from './open-stats.ts';
import type { KvConnectorStats, ReportDrop } from './stats.ts';

/** A connector as its telemetry sees it. */
export interface ConnectorDefinition {
  readonly name: string;
  /** Empty stats; undefined if the connector measures nothing. */
  create(registry: ConnectorRegistry): KvConnectorStats | undefined;
  /** Families labelled by engine alone, which exist at zero before the first transfer. */
  readonly families?: readonly FamilySpec[];
  /** It holds other connectors. */
  readonly nests?: boolean;
}

/** Connectors by name: those of vLLM, and what is registered besides. */
export class ConnectorRegistry {
  readonly #definitions = new Map<string, ConnectorDefinition>();

  constructor(definitions: readonly ConnectorDefinition[] = CONNECTORS) {
    for (const definition of definitions) this.register(definition);
  }

  get names(): readonly string[] {
    return [...this.#definitions.keys()];
  }

  /** Throws `KV_CONNECTOR_REGISTERED` if there is one of that name. */
  register(definition: ConnectorDefinition): void {
    const { name } = definition;
    if (this.#definitions.has(name)) throw fail('KV_CONNECTOR_REGISTERED', { name });
    this.#definitions.set(name, definition);
  }

  /** A connector that nobody registered is kept generically. */
  find(name: string): ConnectorDefinition {
    return this.#definitions.get(name) ?? { name, create: () => new OpenStats() };
  }

  /** Stats from what came over the wire; undefined if the connector measures nothing. Never throws. */
  build(name: string, data: unknown, report: ReportDrop): KvConnectorStats | undefined {
    const stats = this.find(name).create(this);
    if (stats === undefined) report('no_stats');
    else stats.read(data, report);
    return stats;
  }
}
