import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { componentsDeployment } from '../../test/support/components-deployment.ts';
import { type ClusterBehaviour, KubernetesApi } from '../../test/support/kubernetes-api.ts';
import { DEPLOYMENT, profileFolder, profileSla, SMALL } from '../../test/support/profile-sla.ts';
import { until, Workers } from '../../test/support/workers.ts';
import { fail } from '../base/errors.ts';
import { writeFileAtomic } from '../transport/atomic-file.ts';

const workers = new Workers();
const apis: KubernetesApi[] = [];
afterEach(async () => {
  await Promise.all(apis.splice(0).map((api) => api.stop()));
  await workers.stopAll();
});

/** A cluster whose every deployment is served by one real worker. */
async function cluster(behaviour: ClusterBehaviour) {
  const api = new KubernetesApi(behaviour);
  apis.push(api);
  const kubeconfig = await api.start();
  const { url } = await workers.start();
  const { dir, deployment } = profileFolder();
  const port = new URL(url).port;
  // The frontend's own arguments tell on which port it serves.
  const text = DEPLOYMENT.replace(
    /(Frontend:[\s\S]*?image: \S+)/,
    `$1\n          args: [--http-port, "${port}"]`,
  );
  await writeFileAtomic(deployment, text);
  const flags = {
    target: 'kubernetes',
    kubeconfig,
    deployment,
    outputDir: join(dir, 'results'),
    namespace: 'prod',
    serviceName: '127.0.0.1',
    maxRepeats: 1,
    decodeInterpolationGranularity: 1,
    minNumGpusPerEngine: undefined,
    maxNumGpusPerEngine: undefined,
  };
  return { api, flags };
}

const H100 = {
  labels: {
    'nvidia.com/gpu.count': '2',
    'nvidia.com/gpu.product': 'NVIDIA-H100-80GB-HBM3',
    'nvidia.com/gpu.memory': '81559',
  },
};
const READY = { readyAfterMs: 40, nodes: [H100, H100] };

describe('profile sla on Kubernetes', () => {
  test('deploys one engine at a time, measures it, keeps its logs, and deletes it', async () => {
    const { api, flags } = await cluster({
      ...READY,
      workerLog: 'INFO GPU KV cache size: 4,096 tokens\n',
    });
    const { summary, outputDir, logged } = await profileSla({ ...flags, validate: true, loadRequests: 20 });
    expect(summary.points.failed).toBe(0);
    expect(summary.goodput.rates.length).toBe(4);
    expect(summary.decode.max_kv_tokens).toBe(4096);
    expect(logged).toContain('Found 2 node(s) of 2 NVIDIA-H100-80GB-HBM3 with 81559 MiB');
    expect(logged).toContain('Sweeping 1 to 2 GPUs per engine, 2 per node');
    const created = api.requests.filter((request) => request.startsWith('POST'));
    const deleted = api.requests.filter((request) => request.startsWith('DELETE'));
    // Two widths of two roles, and the two chosen ones for their curves and for the load.
    expect([created.length, deleted.length]).toEqual([8, 8]);
    expect(api.deployments.size).toBe(0);
    expect(new Set(deleted).size).toBe(8);
    expect(deleted[0]).toMatch(/^DELETE .*\/namespaces\/prod\/dynamographdeployments\/vllm-agg-[0-9a-f]{4}$/);
    const name = deleted[0]!.split('/').at(-1)!;
    const log = join(outputDir, 'prefill_tp1', name, 'vllmdecodeworker', '0.log');
    expect(readFileSync(log, 'utf8')).toBe('INFO GPU KV cache size: 4,096 tokens\n');
  });

  test('creates the recommended deployment when asked to, and leaves an existing one alone', async () => {
    const { api, flags } = await cluster(READY);
    const first = await profileSla({ ...flags, deployAfterProfile: true });
    expect(first.logged).toContain('Created deployment demo-disagg in prod');
    expect([...api.deployments.keys()]).toEqual(['demo-disagg']);
    expect(Object.keys(api.deployments.get('demo-disagg').spec.services)).toContain('Planner');
    const again = await profileSla({ ...flags, deployAfterProfile: true });
    expect(again.logged).toContain('Deployment demo-disagg exists in prod already');
    expect(again.summary.points.measured).toBe(0);
  });

  test('speaks the version of the API that the deployment is written in', async () => {
    const { api, flags } = await cluster(READY);
    const port = Number(/--http-port, "(\d+)"/.exec(readFileSync(flags.deployment, 'utf8'))![1]);
    await writeFileAtomic(flags.deployment, componentsDeployment(port));
    const { summary } = await profileSla({ ...flags, deployAfterProfile: true });
    expect(summary.points.failed).toBe(0);
    const spoken = new Set(api.requests.flatMap((request) => /nvidia\.com\/(v\w+)/.exec(request)?.[1] ?? []));
    expect([...spoken]).toEqual(['v1beta1']);
    const { components } = api.deployments.get('demo-beta').spec;
    expect(components.at(-1)).toMatchObject({ name: 'Planner', type: 'planner' });
  });

  test('says which versions of the API are served where the one of the deployment is not', async () => {
    const { flags } = await cluster({ versions: ['v1alpha1'] });
    await writeFileAtomic(flags.deployment, componentsDeployment());
    await expect(profileSla(flags)).rejects.toThrow(
      /nvidia\.com\/v1beta1 failed: the cluster serves only nvidia\.com\/v1alpha1/,
    );
  });

  test('explains images that cannot be pulled, and deletes what asked for them', async () => {
    const message = 'Back-off pulling image "reg.example/vllm-runtime:1": unauthorized';
    const { api, flags } = await cluster({ waiting: { reason: 'ImagePullBackOff', message } });
    await expect(profileSla(flags)).rejects.toThrow(
      /tp1: pod vllm-agg-\w+-frontend-0 cannot pull the image reg\.example\/vllm-runtime:1: Back-off pulling image/,
    );
    expect(api.deployments.size).toBe(0);
  });

  test('says what a deployment that never gets ready waits for', async () => {
    const { api, flags } = await cluster({
      waiting: { reason: 'ContainerCreating', message: '' },
      nodes: [H100],
    });
    await expect(profileSla({ ...flags, readyTimeout: 1, maxNumGpusPerEngine: 1 })).rejects.toThrow(
      /was not ready after 1 s: state pending; Ready: 1 of 2 ready; pod vllm-agg-\w+-frontend-0: ContainerCreating/,
    );
    expect(api.deployments.size).toBe(0);
  });

  test('says how a container ended that is started again and again', async () => {
    const { flags } = await cluster({
      waiting: { reason: 'CrashLoopBackOff', message: 'back-off 2m40s restarting failed container' },
      crashed: { exitCode: 137, reason: 'OOMKilled' },
      nodes: [H100],
    });
    await expect(profileSla({ ...flags, readyTimeout: 1, maxNumGpusPerEngine: 1 })).rejects.toThrow(
      /pod vllm-agg-\w+-vllmdecodeworker-\w+-0: CrashLoopBackOff, main ended with exit code 137 \(OOMKilled\), restarted 3 times/,
    );
  });

  test('tells while it waits what holds a pod up', async () => {
    const { flags } = await cluster({
      waiting: { reason: 'CreateContainerConfigError', message: '' },
      nodes: [H100],
    });
    const stop = new AbortController();
    const run = profileSla({ ...flags, maxNumGpusPerEngine: 1 }, stop.signal);
    const log = join(flags.outputDir, 'profile_sla.log');
    const told = /Waiting for vllm-agg-\w+: pod vllm-agg-\w+-frontend-0: CreateContainerConfigError; pod/;
    await until(() => existsSync(log) && told.test(readFileSync(log, 'utf8')));
    stop.abort(fail('KV_INTERRUPTED', { signal: 'SIGINT' }));
    await run;
  });

  test('finds the pods of an operator that marks them by a selector alone', async () => {
    const { flags } = await cluster({ ...READY, oldOperator: true, workerLog: 'its log\n' });
    const stop = new AbortController();
    const run = profileSla({ ...flags, maxNumGpusPerEngine: 1 }, stop.signal);
    const log = () => {
      const folder = join(flags.outputDir, 'prefill_tp1');
      const [name = ''] = readdirSync(folder).filter((each) => each.startsWith('vllm-agg-'));
      return join(folder, name, 'vllmdecodeworker', '0.log');
    };
    await until(() => existsSync(join(flags.outputDir, 'prefill_tp1')) && existsSync(log()));
    expect(readFileSync(log(), 'utf8')).toBe('its log\n');
    stop.abort(fail('KV_INTERRUPTED', { signal: 'SIGINT' }));
    await run;
  });

  test('takes another name where one is taken, and never deletes what has that name', async () => {
    const { api, flags } = await cluster({ takenNames: 2, nodes: [H100] });
    const stop = new AbortController();
    const run = profileSla({ ...flags, maxNumGpusPerEngine: 1 }, stop.signal);
    await until(() => api.deployments.size === 1);
    stop.abort(fail('KV_INTERRUPTED', { signal: 'SIGINT' }));
    const { logged } = await run;
    const drawn = [...logged.matchAll(/Deploying (\S+)/g)].map(([, name]) => name);
    expect(new Set(drawn).size).toBe(3);
    const deleted = api.requests.flatMap((request) => /^DELETE .*\/(\S+)$/.exec(request)?.[1] ?? []);
    expect(deleted).toEqual(drawn.slice(2));
  });

  test('waits for an API server that goes away in the middle, and says that it does', async () => {
    const { api, flags } = await cluster({ readyAfterMs: 300, nodes: [H100] });
    const stop = new AbortController();
    const run = profileSla({ ...flags, maxNumGpusPerEngine: 1 }, stop.signal);
    await until(() => api.deployments.size === 1);
    api.leave();
    const log = () => readFileSync(join(flags.outputDir, 'profile_sla.log'), 'utf8');
    await until(() => /Waiting for the Kubernetes API: .*127\.0\.0\.1/.test(log()));
    api.comeBack();
    await until(() => log().includes('Profiling decode with 1 GPUs'));
    stop.abort(fail('KV_INTERRUPTED', { signal: 'SIGINT' }));
    const { logged } = await run;
    expect(logged).not.toContain('Failed');
    expect(api.deployments.size).toBe(0);
  });

  test('gives up at once on a deployment that somebody else deletes', async () => {
    const { api, flags } = await cluster({ nodes: [H100] });
    const run = profileSla({ ...flags, maxNumGpusPerEngine: 1 });
    void until(() => api.deployments.size === 1).then(() => api.withdraw([...api.deployments.keys()][0]!));
    await expect(run).rejects.toThrow(/waiting for deployment vllm-agg-\w+ failed: it was deleted meanwhile/);
  });

  test('sweeps up to 8 GPUs where it may not list the nodes', async () => {
    const { flags } = await cluster({ ...READY, forbidden: ['list nodes'] });
    const stop = AbortSignal.abort(fail('KV_INTERRUPTED', { signal: 'SIGINT' }));
    const { logged } = await profileSla(flags, stop);
    expect(logged).toContain('The GPUs of the nodes are not known: listing nodes failed: nodes is forbidden');
    expect(logged).toContain('Sweeping 1 to 8 GPUs per engine, 8 per node');
  });

  test('deletes its deployment when it is stopped, and what a killed run left behind', async () => {
    const { api, flags } = await cluster({ nodes: [H100] });
    const stop = new AbortController();
    const run = profileSla(flags, stop.signal);
    await until(() => api.deployments.size === 1);
    const orphan = structuredClone([...api.deployments.values()][0]);
    stop.abort(fail('KV_INTERRUPTED', { signal: 'SIGTERM' }));
    const { exitCode } = await run;
    expect(exitCode).toBe(1);
    expect(api.deployments.size).toBe(0);

    api.deployments.set(orphan.metadata.name, orphan);
    api.deployments.set('mine', { metadata: { name: 'mine' }, spec: { services: {} } });
    const { logged } = await profileSla(flags, AbortSignal.abort(stop.signal.reason));
    expect(logged).toContain(`Deleting ${orphan.metadata.name}, left behind by an earlier run`);
    expect([...api.deployments.keys()]).toEqual(['mine']);
  });

  test('says why the API cannot be used', async () => {
    await expect(
      profileSla({ ...SMALL, target: 'kubernetes', kubeconfig: '/nowhere/config' }),
    ).rejects.toThrow(/reading the Kubernetes configuration failed/);
  });
});
