import { resolve } from 'node:path';
import { RealClock } from '../base/clock.ts';
import { fail, toError } from '../base/errors.ts';
import { servedModel } from '../formats/deployment/backend.ts';
import { backendOf } from '../formats/deployment/backends.ts';
import type { Deployment } from '../formats/deployment/deployment.ts';
import { DEFAULT_MODEL, parseAnalyticModel } from '../perf/analytic-model.ts';
import { EndpointTarget, parseNamedEndpoint } from '../sla-profiler/endpoint-target.ts';
import { type GpuRange, gpuInventory, gpuRange } from '../sla-profiler/gpu-inventory.ts';
import { KubernetesTarget } from '../sla-profiler/kubernetes-target.ts';
import { LOCAL_COMMANDS } from '../sla-profiler/local-command.ts';
import { LocalTarget } from '../sla-profiler/local-target.ts';
import type { ProbeClient } from '../sla-profiler/probe-client.ts';
import type { SlaSettings } from '../sla-profiler/settings.ts';
import { SimTarget } from '../sla-profiler/sim-target.ts';
import type { ProfileTarget } from '../sla-profiler/target.ts';
import type { LoadServer } from '../sla-profiler/validation.ts';
import { DynamoCluster } from '../transport/dynamo-cluster.ts';
import { readText } from './read-text.ts';
import { simulatedLoad } from './serve-load.ts';

/** What the settings say to measure, how wide, and what to do once it is measured. */
export interface ChosenTarget {
  readonly target: ProfileTarget;
  /** Simulates load where the target's engines do not take it themselves. */
  readonly loadServer?: LoadServer;
  readonly gpus: GpuRange;
  /** Creates the recommended deployment; undefined where there is nowhere to. */
  readonly deploy?: (deployment: Deployment) => Promise<boolean>;
}

export async function chooseTarget(
  settings: SlaSettings,
  base: Deployment,
  client: ProbeClient,
  signal: AbortSignal,
  log: (line: string) => void,
): Promise<ChosenTarget> {
  const gpus = gpuRange(settings, undefined);
  switch (settings.target) {
    case 'sim': {
      const path = settings.simModel;
      const model =
        path === undefined ? DEFAULT_MODEL : parseAnalyticModel(parseJson(await readText(path), path), path);
      return {
        gpus,
        target: new SimTarget(model),
        loadServer: simulatedLoad(model, signal, settings.loadRequests),
      };
    }
    case 'endpoint': {
      const endpoints = settings.endpoint.map(parseNamedEndpoint);
      return { gpus, target: new EndpointTarget(endpoints, client, settings.maxKvTokens) };
    }
    case 'local': {
      const command = settings.engineCommand ?? LOCAL_COMMANDS[settings.backend];
      const model = settings.model ?? servedModel(base, backendOf(settings.backend));
      if (model === undefined && command.includes('{model}')) throw noModel();
      const target = new LocalTarget({
        backend: settings.backend,
        command,
        model: model ?? '',
        readyTimeoutMs: settings.readyTimeout * 1000,
        kvTokens: settings.maxKvTokens,
        client,
        clock: new RealClock(),
      });
      await target.tidyUp(settings.outputDir, log);
      return { gpus, target };
    }
    case 'kubernetes':
      return kubernetes(settings, base, client, log);
  }
}

async function kubernetes(
  settings: SlaSettings,
  base: Deployment,
  client: ProbeClient,
  log: (line: string) => void,
): Promise<ChosenTarget> {
  const clock = new RealClock();
  const { namespace, kubeconfig } = settings;
  const cluster = await DynamoCluster.open({ namespace, version: base.version, kubeconfig, clock, log });
  const target = new KubernetesTarget({
    backend: settings.backend,
    cluster,
    client,
    clock,
    outputDir: resolve(settings.outputDir),
    readyTimeoutMs: settings.readyTimeout * 1000,
    kvTokens: settings.maxKvTokens,
    serviceName: settings.serviceName,
    log,
  });
  await target.tidyUp();
  return {
    gpus: await clusterGpus(settings, cluster, log),
    target,
    deploy: (deployment) => {
      const body = deployment.toJSON();
      const metadata = { ...(body.metadata as object), namespace: settings.namespace };
      return cluster.create({ ...body, metadata });
    },
  };
}

/** Asks the nodes only for what the user left open. */
async function clusterGpus(
  settings: SlaSettings,
  cluster: DynamoCluster,
  log: (line: string) => void,
): Promise<GpuRange> {
  if (settings.maxNumGpusPerEngine !== undefined && settings.numGpusPerNode !== undefined)
    return gpuRange(settings, undefined);
  let inventory: ReturnType<typeof gpuInventory>;
  try {
    inventory = gpuInventory(await cluster.nodes());
  } catch (thrown) {
    // A role that may not list nodes is common, and a guess is better than an end.
    log(`The GPUs of the nodes are not known: ${toError(thrown).message}`);
  }
  const range = gpuRange(settings, inventory);
  if (inventory !== undefined) {
    const { nodes, count, product, memoryMiB } = inventory;
    const memory = memoryMiB === undefined ? '' : ` with ${memoryMiB} MiB`;
    log(`Found ${nodes} node(s) of ${count} ${product ?? 'GPUs'}${memory}`);
  }
  log(`Sweeping ${range.min} to ${range.max} GPUs per engine, ${range.perNode} per node`);
  return range;
}

function noModel(): Error {
  return fail('KV_SETTING_INVALID', {
    setting: '--model',
    value: '',
    reason: 'is needed: the arguments of the decode worker name no model',
    mend: 'Give --model NAME.',
  });
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (thrown) {
    throw fail(
      'KV_FILE_MALFORMED',
      { path, reason: `not JSON (${toError(thrown).message})`, mend: 'Mend the file.' },
      thrown,
    );
  }
}
