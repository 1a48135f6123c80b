import { describe, expect, test } from 'vitest';
import { componentsDeployment } from '../../../test/support/components-deployment.ts';
import { convertToRole, frontendPort, servedModel, setMapping } from './backend.ts';
import { backendOf } from './backends.ts';
import { Deployment } from './deployment.ts';
import { withPlanner } from './planner.ts';

const VLLM = backendOf('vllm');
const read = (): Deployment => Deployment.parse(componentsDeployment(8123), 'beta.yaml');

// biome-ignore lint/suspicious/noExplicitAny: plain data of a file
type Component = any;
const componentsOf = (deployment: Deployment): Component[] =>
  // biome-ignore lint/suspicious/noExplicitAny: plain data of a file
  (deployment.toJSON() as any).spec.components;
const named = (deployment: Deployment, name: string): Component =>
  componentsOf(deployment).find((component) => component.name === name);

describe('a deployment of components', () => {
  test('tells its version, services, model and port', () => {
    const deployment = read();
    expect(deployment.version).toBe('v1beta1');
    expect(deployment.serviceNames).toEqual(['Frontend', 'Decoder', 'Prefiller']);
    expect(servedModel(deployment, VLLM)).toBe('acme/tiny-8b');
    expect(frontendPort(deployment, VLLM)).toBe(8123);
    expect(deployment.get('Nobody', 'type')).toBeUndefined();
  });

  test('becomes the decode worker alone, with all that is not understood', () => {
    const converted = convertToRole(read(), VLLM, 'decode');
    setMapping(converted, VLLM, 'Decoder', { kind: 'tp', gpus: 4 });
    expect(converted.serviceNames).toEqual(['Frontend', 'Decoder']);
    const { type, replicas, podTemplate } = named(converted, 'Decoder');
    expect([type, replicas]).toEqual(['decode', 1]);
    expect(podTemplate.spec.containers.map(({ name }: Component) => name)).toEqual(['log-shipper', 'main']);
    const main = podTemplate.spec.containers[1];
    expect(main.args).toEqual([
      ...['--model', 'acme/tiny-8b', '--enable-prefix-caching', '--tensor-parallel-size', '4'],
    ]);
    expect(main.resources).toEqual({
      limits: { 'nvidia.com/gpu': '4' },
      requests: { 'ephemeral-storage': '2Gi', 'nvidia.com/gpu': '4' },
    });
    expect(converted.toString()).toContain('acme/tiny-8b # pinned');
  });

  test('becomes the prefill worker alone, under the name and role that a frontend waits for', () => {
    const converted = convertToRole(read(), VLLM, 'prefill');
    setMapping(converted, VLLM, 'Decoder', { kind: 'tp', gpus: 16 }, 8);
    expect(converted.serviceNames).toEqual(['Frontend', 'Decoder']);
    const { type, replicas, multinode, podTemplate } = named(converted, 'Decoder');
    expect([type, replicas, multinode]).toEqual(['decode', 1, { nodeCount: 2 }]);
    expect(podTemplate.spec.terminationGracePeriodSeconds).toBe(600);
    const [main] = podTemplate.spec.containers;
    expect(main.args).toEqual([
      ...['--model', 'acme/tiny-8b', '--no-enable-prefix-caching', '--tensor-parallel-size', '16'],
    ]);
    // A pod takes GPUs only with a limit.
    expect(main.resources.limits).toEqual({ 'nvidia.com/gpu': '8' });
  });

  test('gets a planner that is told by its configuration, from its own image, once', () => {
    const order = {
      backend: VLLM,
      prefill: { kind: 'tp', gpus: 2 },
      decode: { kind: 'tp', gpus: 4 },
      gpusPerNode: 8,
      options: { environment: 'kubernetes', 'adjustment-interval': 60, 'log-dir': undefined, other: 1 },
      ttftMs: 200,
      itlMs: 20.5,
      profileDir: '/data/results',
    } as const;
    const planned = withPlanner(withPlanner(read(), order), order);
    expect(planned.serviceNames).toEqual(['Frontend', 'Decoder', 'Prefiller', 'Planner']);
    expect(planned.arguments('Prefiller')).toContain('prefill');
    const { type, podTemplate } = named(planned, 'Planner');
    const { containers, volumes } = podTemplate.spec;
    expect(type).toBe('planner');
    expect(containers[0].image).toBe('reg.example/team/dynamo-planner:1.3.0');
    expect(volumes).toEqual([{ name: 'dynamo-pvc', persistentVolumeClaim: { claimName: 'dynamo-pvc' } }]);
    expect(containers[0].volumeMounts).toEqual([{ name: 'dynamo-pvc', mountPath: '/data' }]);
    expect(JSON.parse(containers[0].args[1])).toEqual({
      backend: 'vllm',
      mode: 'disagg',
      optimization_target: 'sla',
      ttft: 200,
      itl: 20.5,
      environment: 'kubernetes',
      throughput_adjustment_interval_seconds: 60,
      prefill_engine_num_gpu: 2,
      decode_engine_num_gpu: 4,
      profile_results_dir: '/data/results',
    });
  });

  test('names the components it has when a role is missing', () => {
    const frontendOnly = 'kind: DynamoGraphDeployment\nspec: {components: [{name: F, type: frontend}]}';
    expect(() => convertToRole(Deployment.parse(frontendOnly, 'b.yaml'), VLLM, 'decode')).toThrow(
      'no decode worker: no service with type decode, none named VllmDecodeWorker (services: F)',
    );
  });
});
