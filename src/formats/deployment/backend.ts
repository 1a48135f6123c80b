import type { Arguments } from './arguments.ts';
import { argumentValue } from './arguments.ts';
import type { Deployment, WorkerRole } from './deployment.ts';

/**
 * How GPUs share one engine: `tp` tensor parallel; `tep` tensor-parallel attention with split experts;
 * `dep` data-parallel attention with split experts.
 */
export type MappingKind = 'tp' | 'tep' | 'dep';

export interface ParallelMapping {
  readonly kind: MappingKind;
  readonly gpus: number;
}

/** How one backend spells roles, prefix caching and widths in its arguments. */
export interface Backend {
  readonly name: BackendName;
  readonly defaultServices: Readonly<Record<WorkerRole, string>>;
  /** Flags whose value is the served model's name, most telling first. */
  readonly modelFlags: readonly string[];
  /** The frontend's port is fixed, whatever its arguments say. */
  readonly fixedPort: boolean;
  /** Strips the disaggregated role, and switches prefix caching off (prefill) or on (decode). */
  toAggregated(args: Arguments, role: WorkerRole, moe: boolean): Arguments;
  /** Sets the width; throws KV_SETTING_INVALID for a mapping the backend does not have. */
  withMapping(args: Arguments, mapping: ParallelMapping): Arguments;
}

export const BACKEND_NAMES = ['vllm', 'sglang', 'trtllm'] as const;
export type BackendName = (typeof BACKEND_NAMES)[number];

const DEFAULT_PORT = 8000;

/**
 * A deployment with one aggregated worker, for measuring that role alone. The worker under test stands under the
 * decode service's name whatever its role, because that is the one a frontend waits for.
 */
export function convertToRole(base: Deployment, backend: Backend, role: WorkerRole, moe = false): Deployment {
  const converted = base.clone();
  converted.setName(`${backend.name}-agg`);
  converted.removeService(converted.serviceOfType('planner') ?? 'Planner');
  const decode = converted.workerService('decode', backend.defaultServices.decode);
  const prefill = converted.workerService('prefill', backend.defaultServices.prefill);
  if (role === 'prefill') converted.moveService(prefill, decode);
  else converted.removeService(prefill);
  converted.setRole(decode, 'decode');
  converted.set(decode, ['replicas'], 1);
  converted.setArguments(decode, backend.toAggregated(converted.arguments(decode), role, moe));
  return converted;
}

/** Sets the width of one role's engines in place: arguments, GPUs and nodes. */
export function setMapping(
  deployment: Deployment,
  backend: Backend,
  service: string,
  mapping: ParallelMapping,
  gpusPerNode = 8,
): void {
  deployment.setArguments(service, backend.withMapping(deployment.arguments(service), mapping));
  deployment.setGpus(service, mapping.gpus, gpusPerNode);
}

/** The served model's name as the decode worker's arguments give it. */
export function servedModel(deployment: Deployment, backend: Backend): string | undefined {
  const args = deployment.arguments(deployment.workerService('decode', backend.defaultServices.decode));
  for (const flag of backend.modelFlags) {
    const name = argumentValue(args, flag);
    if (name !== undefined) return name;
  }
  return undefined;
}

export function frontendPort(deployment: Deployment, backend: Backend): number {
  if (backend.fixedPort) return DEFAULT_PORT;
  const frontend = deployment.serviceOfType('frontend') ?? 'Frontend';
  return Number(argumentValue(deployment.arguments(frontend), '--http-port') ?? DEFAULT_PORT);
}
