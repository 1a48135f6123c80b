import type { Backend, ParallelMapping } from './backend.ts';
import { setMapping } from './backend.ts';
import type { Deployment } from './deployment.ts';

const PVC = 'dynamo-pvc';
const PLANNER = 'Planner';
const DEFAULT_IMAGE = 'my-registry/dynamo-runtime:my-tag';

export interface PlannerOrder {
  readonly backend: Backend;
  readonly prefill: ParallelMapping;
  readonly decode: ParallelMapping;
  readonly gpusPerNode: number;
  /** Options of the planner itself; undefined and false ones are left out, true ones are bare flags. */
  readonly options: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly ttftMs: number;
  readonly itlMs: number;
  /** Where the planner finds the profile. */
  readonly profileDir: string;
}

/** The deployment to run for good: both roles at their chosen widths, and an SLA planner beside them. */
export function withPlanner(base: Deployment, order: PlannerOrder): Deployment {
  const { backend, prefill, decode, gpusPerNode } = order;
  const final = base.clone();
  setMapping(
    final,
    backend,
    final.workerService('prefill', backend.defaultServices.prefill),
    prefill,
    gpusPerNode,
  );
  setMapping(
    final,
    backend,
    final.workerService('decode', backend.defaultServices.decode),
    decode,
    gpusPerNode,
  );
  const frontend =
    final.serviceNames.find((service) => final.get(service, 'componentType') === 'frontend') ?? 'Frontend';
  const namespace = String(final.get(frontend, 'dynamoNamespace') ?? 'dynamo');
  const image = String(final.get(frontend, 'extraPodSpec', 'mainContainer', 'image') ?? DEFAULT_IMAGE);
  if (final.getSpec('pvcs') === undefined) final.setSpec(['pvcs'], [{ create: false, name: PVC }]);
  final.set(PLANNER, [], {
    componentType: 'planner',
    dynamoNamespace: namespace,
    replicas: 1,
    volumeMounts: [{ mountPoint: '/data', name: PVC }],
    extraPodSpec: {
      mainContainer: {
        image,
        workingDir: '/workspace/components/src/dynamo/planner',
        command: ['python3', '-m', 'planner_sla'],
        args: plannerArguments(order, namespace),
      },
    },
  });
  return final;
}

/** Shared options first, then the planner's own by name, then what the profile decided. */
function plannerArguments(order: PlannerOrder, namespace: string): string[] {
  const decided = ['namespace', 'prefill-engine-num-gpu', 'decode-engine-num-gpu', 'profile-results-dir'];
  const own = Object.entries(order.options)
    .filter(([name, value]) => value !== undefined && value !== false && !decided.includes(name))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => (value === true ? `--${name}` : `--${name}=${value}`));
  return [
    `--backend=${order.backend.name}`,
    `--itl=${float(order.itlMs)}`,
    `--ttft=${float(order.ttftMs)}`,
    ...own,
    `--namespace=${namespace}`,
    `--prefill-engine-num-gpu=${order.prefill.gpus}`,
    `--decode-engine-num-gpu=${order.decode.gpus}`,
    `--profile-results-dir=${order.profileDir}`,
  ];
}

/** A float as the planner's own tools print it: always with a decimal point. */
function float(value: number): string {
  return Number.isInteger(value) ? value.toFixed(1) : String(value);
}
