import {
  EXTERNAL_CACHE,
  HF3FS,
  MOONCAKE,
  MOONCAKE_STORE,
  NIXL,
  NIXL_NEWER,
  OFFLOAD,
} from './names/connector.ts';
import { VLLM } from './names/engine.ts';
import {
  EVENT_LOOP,
  FRONTEND,
  FRONTEND_STAGE,
  FRONTEND_WORKER,
  REQUEST_PLANE,
  ROUTER_QUEUE,
  TOKENIZER_CACHE,
} from './names/frontend.ts';
import { KV_INDEXER, KV_INDEXER_EVENTS } from './names/indexer.ts';
import {
  CONNECTOR,
  FRONTEND_OWN,
  INDEX,
  OPERATION,
  POLICY_FILES,
  PREDICTION,
  SELF,
  THREAD,
} from './names/kvasir.ts';
import { KVBM } from './names/kvbm.ts';
import { LMCACHE } from './names/lmcache.ts';
import { OFFLOAD_FLAT } from './names/offload.ts';
import { PLANNER } from './names/planner.ts';
import { ROUTER_INDEX, ROUTER_OVERHEAD, ROUTER_REQUEST } from './names/router.ts';
import { DISCOVERY, REPLICA } from './names/scale-out.ts';
import { SGLANG } from './names/sglang.ts';
import { THOMPSON, THOMPSON_ROUTER } from './names/thompson.ts';
import { ENGINE_GAUGES, KV_PUBLISHER, KV_STATS, PROCESS, WORK_HANDLER, WORK_QUEUE } from './names/worker.ts';
import type { FamilySpec } from './spec.ts';

interface MetricsTable {
  readonly title: string;
  /** What the families are labelled with besides their own labels. */
  readonly labels: readonly string[];
  readonly families: Readonly<Record<string, FamilySpec>>;
}

const INSTANCE = ['worker_id'] as const;
const COMPONENT = ['dynamo_namespace', 'dynamo_component', ...INSTANCE] as const;
const ENDPOINT = ['dynamo_namespace', 'dynamo_component', 'dynamo_endpoint', 'model', ...INSTANCE] as const;

/** The catalogue lists these under the router's own prefix. */
export const INDEXER_EVENTS_TITLE = 'Indexer service: events';
/** Inherited from SGLang itself, which the catalogue does not list. */
export const SGLANG_TITLE = 'Worker: simulated SGLang';
/** Inherited from the connectors themselves, which the catalogue does not list. */
export const CONNECTORS_TITLE = 'Worker: KV connectors';
const CONNECTOR_FAMILIES: Readonly<Record<string, FamilySpec>> = Object.fromEntries(
  [EXTERNAL_CACHE, NIXL, NIXL_NEWER, MOONCAKE, MOONCAKE_STORE, OFFLOAD, OFFLOAD_FLAT, HF3FS, LMCACHE]
    .flatMap((families) => Object.values<FamilySpec>(families))
    .map((family) => [family.name, family]),
);

/** Of NeMo Agent Toolkit's router, which never shows them. */
export const THOMPSON_ROUTER_TITLE = 'Thompson router';

/** Every family that a Kvasir process may expose, by the part that does. */
export const METRICS_TABLES: readonly MetricsTable[] = [
  { title: 'Frontend: requests and models', labels: [], families: { ...FRONTEND, ...FRONTEND_OWN } },
  {
    title: 'Frontend: stages and the way to a worker',
    labels: [],
    families: { ...FRONTEND_STAGE, ...REQUEST_PLANE },
  },
  { title: 'Frontend: tokenizer cache', labels: [], families: TOKENIZER_CACHE },
  { title: 'Frontend: load of workers', labels: [], families: FRONTEND_WORKER },
  { title: 'Frontend: event loop', labels: [], families: { ...EVENT_LOOP, ...THREAD } },
  { title: 'Router: queue', labels: [], families: ROUTER_QUEUE },
  { title: 'Router: time of a decision', labels: [], families: ROUTER_OVERHEAD },
  { title: 'Router: routed requests', labels: COMPONENT, families: { ...ROUTER_REQUEST, ...PREDICTION } },
  { title: 'Router: index and event streams', labels: COMPONENT, families: { ...ROUTER_INDEX, ...INDEX } },
  { title: 'Router: other routers, and discovery', labels: [], families: { ...REPLICA, ...DISCOVERY } },
  { title: 'Router: files of a policy', labels: [], families: POLICY_FILES },
  { title: 'Router: operations', labels: [], families: OPERATION },
  { title: 'Indexer service', labels: [], families: KV_INDEXER },
  { title: INDEXER_EVENTS_TITLE, labels: [], families: KV_INDEXER_EVENTS },
  { title: 'Worker: served endpoints', labels: ENDPOINT, families: { ...WORK_HANDLER, ...ENGINE_GAUGES } },
  { title: 'Worker: cache statistics', labels: COMPONENT.slice(0, 2), families: KV_STATS },
  { title: 'Worker: event publisher', labels: COMPONENT, families: KV_PUBLISHER },
  { title: 'Worker: door', labels: [], families: WORK_QUEUE },
  { title: 'Worker: simulated vLLM', labels: ENDPOINT, families: VLLM },
  { title: SGLANG_TITLE, labels: ENDPOINT, families: SGLANG },
  { title: CONNECTORS_TITLE, labels: ENDPOINT, families: CONNECTOR_FAMILIES },
  { title: 'Worker: transfers of any KV connector', labels: ENDPOINT, families: CONNECTOR },
  { title: 'Thompson processor', labels: [], families: THOMPSON },
  { title: THOMPSON_ROUTER_TITLE, labels: [], families: THOMPSON_ROUTER },
  { title: 'Planner', labels: [], families: PLANNER },
  { title: 'Block manager', labels: [], families: KVBM },
  { title: 'Every process', labels: INSTANCE, families: PROCESS },
  { title: 'The metrics themselves', labels: [], families: SELF },
];
