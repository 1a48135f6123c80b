import type { Backend, ParallelMapping } from './backend.ts';
import { setMapping } from './backend.ts';
import type { Deployment } from './deployment.ts';

const PVC = 'dynamo-pvc';
const PLANNER = 'Planner';
const MOUNT = '/data';
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
  const frontend = final.serviceOfType('frontend') ?? 'Frontend';
  final.removeService(final.serviceOfType('planner') ?? PLANNER);
  const image = String(final.container(frontend, 'image') ?? DEFAULT_IMAGE);
  if (final.version === 'v1beta1') final.set(PLANNER, [], component(order, image));
  else {
    const namespace = String(final.get(frontend, 'dynamoNamespace') ?? 'dynamo');
    if (final.getSpec('pvcs') === undefined) final.setSpec(['pvcs'], [{ create: false, name: PVC }]);
    final.set(PLANNER, [], service(order, image, namespace));
  }
  return final;
}

/** The planner of v1alpha1, told by flags. */
function service(order: PlannerOrder, image: string, namespace: string): object {
  return {
    componentType: 'planner',
    dynamoNamespace: namespace,
    replicas: 1,
    volumeMounts: [{ mountPoint: MOUNT, name: PVC }],
    extraPodSpec: {
      mainContainer: {
        image,
        workingDir: '/workspace/components/src/dynamo/planner',
        command: ['python3', '-m', 'planner_sla'],
        args: plannerArguments(order, namespace),
      },
    },
  };
}

/** The planner of v1beta1: told by one JSON text, from an image of its own, its namespace set by the operator. */
function component(order: PlannerOrder, image: string): object {
  const main = {
    name: 'main',
    image: image.replace(/[^/]+-runtime(?=[:@]|$)/, 'dynamo-planner'),
    command: ['python3', '-m', 'dynamo.planner'],
    args: ['--config', JSON.stringify(plannerConfig(order))],
    volumeMounts: [{ name: PVC, mountPath: MOUNT }],
  };
  const volumes = [{ name: PVC, persistentVolumeClaim: { claimName: PVC } }];
  return {
    name: PLANNER,
    type: 'planner',
    replicas: 1,
    podTemplate: { spec: { volumes, containers: [main] } },
  };
}

/** Fields of the planner's `PlannerConfig`, which replaced its flags in 2026, by those flags. */
const CONFIG_FIELDS: Readonly<Record<string, string>> = {
  environment: 'environment',
  'no-operation': 'advisory',
  'log-dir': 'log_dir',
  'adjustment-interval': 'throughput_adjustment_interval_seconds',
  'max-gpu-budget': 'max_gpu_budget',
  'min-endpoint': 'min_endpoint',
  'load-predictor': 'load_predictor',
  'prometheus-port': 'metric_reporting_prometheus_port',
  'model-name': 'model_name',
};

/** What has no field there any more is left out. */
function plannerConfig(order: PlannerOrder): object {
  const own = Object.entries(CONFIG_FIELDS).map(([flag, field]) => [field, order.options[flag]]);
  return {
    backend: order.backend.name,
    mode: 'disagg',
    optimization_target: 'sla',
    ttft: order.ttftMs,
    itl: order.itlMs,
    ...Object.fromEntries(own),
    prefill_engine_num_gpu: order.prefill.gpus,
    decode_engine_num_gpu: order.decode.gpus,
    profile_results_dir: order.profileDir,
  };
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
