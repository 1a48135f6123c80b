import { HF3FS, MOONCAKE, NIXL } from '../metrics/names/connector.ts';
import { LMCACHE_COUNTS, LMCACHE_SAMPLES } from '../metrics/names/lmcache.ts';
import type { FamilySpec } from '../metrics/spec.ts';
import type { ConnectorDefinition } from './connector-registry.ts';
import { type FieldLayout, FieldStats } from './field-stats.ts';
import { HF3FS_LAYOUT, LMCACHE_LAYOUT, MOONCAKE_LAYOUT, NIXL_LAYOUT, P2P_LAYOUT } from './layouts.ts';
import { MultiStats } from './multi-stats.ts';
import { OffloadStats } from './offload-stats.ts';
import { StoreStats } from './store-stats.ts';

/** Gauges are not known before they are told. */
const LMCACHE_AT_ZERO = { ...LMCACHE_COUNTS, ...LMCACHE_SAMPLES };

/** The connectors that are known by name, as vLLM names them. */
export const CONNECTORS: readonly ConnectorDefinition[] = [
  fields('NixlConnector', NIXL_LAYOUT, NIXL),
  fields('MooncakeConnector', MOONCAKE_LAYOUT, MOONCAKE),
  fields('HF3FSKVConnector', HF3FS_LAYOUT, HF3FS),
  fields('LMCacheConnectorV1', LMCACHE_LAYOUT, LMCACHE_AT_ZERO),
  fields('LMCacheMPConnector', LMCACHE_LAYOUT, LMCACHE_AT_ZERO),
  fields('P2pNcclConnector', P2P_LAYOUT),
  fields('MoRIIOConnector', P2P_LAYOUT),
  {
    name: 'OffloadingConnector',
    create: (registry) => registry.described('OffloadingConnector', new OffloadStats()),
  },
  {
    name: 'SimpleCPUOffloadConnector',
    create: (registry) => registry.described('SimpleCPUOffloadConnector', new OffloadStats()),
  },
  { name: 'MooncakeStoreConnector', create: () => new StoreStats() },
  { name: 'MultiConnector', create: (registry) => new MultiStats(registry), nests: true },
];

function fields(
  name: string,
  layout: FieldLayout,
  families: Readonly<Record<string, FamilySpec>> = {},
): ConnectorDefinition {
  return { name, create: () => new FieldStats(layout), families: Object.values(families) };
}
