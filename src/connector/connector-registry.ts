import { fail } from '../base/errors.ts';
import type { FamilySpec } from '../metrics/spec.ts';
import { CONNECTORS } from './connectors.ts';
import { DescribedStats, type SchemaMemory } from './described-stats.ts';
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

/** Connectors whose one-time schemas are remembered. */
const MAX_SCHEMAS = 64;

/** Connectors by name: those of vLLM, and what is registered besides. */
export class ConnectorRegistry {
  readonly #definitions = new Map<string, ConnectorDefinition>();
  readonly #schemas = new Map<string, SchemaMemory>();

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
    return this.#definitions.get(name) ?? { name, create: () => this.described(name, new OpenStats()) };
  }

  /** Stats of a connector whose payloads may say themselves what they hold. */
  described(name: string, plain: KvConnectorStats): KvConnectorStats {
    let memory = this.#schemas.get(name);
    if (memory === undefined) {
      memory = { schema: undefined };
      if (this.#schemas.size < MAX_SCHEMAS) this.#schemas.set(name, memory);
    }
    return new DescribedStats(plain, memory);
  }

  /** Stats from what came over the wire; undefined if the connector measures nothing. Never throws. */
  build(name: string, data: unknown, report: ReportDrop): KvConnectorStats | undefined {
    const stats = this.find(name).create(this);
    if (stats === undefined) report('no_stats');
    else stats.read(data, report);
    return stats;
  }
}
