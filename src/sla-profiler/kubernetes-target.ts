import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type Clock, sleepUntil } from '../base/clock.ts';
import { fail, toError } from '../base/errors.ts';
import { type BackendName, frontendPort } from '../formats/deployment/backend.ts';
import { backendOf } from '../formats/deployment/backends.ts';
import type { Deployment } from '../formats/deployment/deployment.ts';
import { writeFileAtomic } from '../transport/atomic-file.ts';
import type { DeploymentStatus, DynamoCluster } from '../transport/dynamo-cluster.ts';
import { EndpointEngine } from './endpoint-engine.ts';
import { kvCapacityFromLog } from './kv-capacity.ts';
import { attentionRanks } from './plan.ts';
import { imageTrouble, podTrouble } from './pod-trouble.ts';
import type { ProbeClient } from './probe-client.ts';
import type { EngineOrder, EngineUnderTest, ProfileTarget } from './target.ts';

/** Marks what this tool created, so that a run that was killed can be tidied up by the next one. */
const RUN_LABEL = 'kvasir.dev/profile-run';
/** Names drawn for one deployment before giving up; each is one of 65 536. */
const MOST_NAMES = 10;
/** Between two looks at a deployment, when no watch tells of changes. */
const POLL_MS = 20_000;
/** How long a frontend may take to list its model once the deployment is ready. */
const SERVING_MS = 120_000;
const SERVING_POLL_MS = 1000;
export interface KubernetesOptions {
  readonly backend: BackendName;
  readonly cluster: DynamoCluster;
  readonly client: ProbeClient;
  readonly clock: Clock;
  readonly outputDir: string;
  readonly readyTimeoutMs: number;
  readonly kvTokens: number | undefined;
  /** Host of the frontend instead of the deployment's own service. */
  readonly serviceName: string | undefined;
  /** Between two looks at a deployment that does not change. */
  readonly pollMs?: number;
  readonly log: (line: string) => void;
}

/** Deploys each engine as a DynamoGraphDeployment, one at a time, and deletes it when its points are measured. */
export class KubernetesTarget implements ProfileTarget {
  readonly name = 'kubernetes';
  readonly identity: unknown;
  readonly takesLoad = true;
  readonly #options: KubernetesOptions;
  readonly #run: string;

  constructor(options: KubernetesOptions) {
    this.#options = options;
    this.identity = { namespace: options.cluster.namespace, kvTokens: options.kvTokens };
    this.#run = createHash('sha256').update(options.outputDir).digest('hex').slice(0, 16);
  }

  /** Deletes what a killed run with the same output folder left behind. */
  async tidyUp(): Promise<void> {
    const { cluster, log } = this.#options;
    for (const name of await cluster.labelled(`${RUN_LABEL}=${this.#run}`)) {
      log(`Deleting ${name}, left behind by an earlier run`);
      await cluster.delete(name);
    }
  }

  async start(order: EngineOrder, signal: AbortSignal): Promise<EngineUnderTest> {
    const { cluster, backend, client, kvTokens, log } = this.#options;
    const name = await this.#create(order, signal);
    const url = this.#url(order, name);
    const stop = async (): Promise<void> => {
      client.forget(url);
      await cluster.delete(name);
    };
    try {
      await this.#untilReady(order, name, signal);
      const workerLog = await this.#saveLogs(order, name);
      await this.#untilServing(url, signal);
      const logged = kvCapacityFromLog(backend, workerLog, attentionRanks(order.mapping));
      return new EndpointEngine({
        url,
        role: order.role,
        client,
        kvTokens: kvTokens ?? logged,
        signal,
        stop,
      });
    } catch (thrown) {
      if (!signal.aborted) await this.#saveLogs(order, name).catch(() => {});
      // The first cause is told, not that this failed too.
      await stop().catch((also: unknown) => log(toError(also).message));
      throw thrown;
    }
  }

  /** Its name; another one is drawn where somebody else has that already. */
  async #create(order: EngineOrder, signal: AbortSignal): Promise<string> {
    const { cluster, log } = this.#options;
    const base = order.deployment.name;
    for (let tries = 0; tries < MOST_NAMES; tries++) {
      const name = `${base}-${randomBytes(2).toString('hex')}`;
      log(`Deploying ${name} (${order.role} ${order.mapping.kind}${order.mapping.gpus})...`);
      if (await cluster.create(this.#named(order, name), signal)) return name;
    }
    throw fail('KV_KUBERNETES', {
      action: 'creating the deployment',
      reason: `${MOST_NAMES} names of the form ${base}-<4 hex> were taken`,
      mend: `Delete deployments that are left over in ${cluster.namespace}.`,
    });
  }

  #named(order: EngineOrder, name: string): Record<string, unknown> {
    const body = order.deployment.toJSON();
    const metadata = (body.metadata ?? {}) as Record<string, unknown>;
    const labels = { ...(metadata.labels as object), [RUN_LABEL]: this.#run };
    return {
      ...body,
      metadata: { ...metadata, name, namespace: this.#options.cluster.namespace, labels },
    };
  }

  #url({ deployment }: EngineOrder, name: string): string {
    const { backend, cluster, serviceName } = this.#options;
    const service = (deployment.serviceOfType('frontend') ?? 'frontend').toLowerCase();
    const host = serviceName ?? `${name}-${service}.${cluster.namespace}.svc.cluster.local`;
    return `http://${host}:${frontendPort(deployment, backendOf(backend))}`;
  }

  async #untilReady({ deployment }: EngineOrder, name: string, signal: AbortSignal): Promise<void> {
    const { cluster, clock, log, readyTimeoutMs, pollMs = POLL_MS } = this.#options;
    const deadlineMs = clock.nowMs() + readyTimeoutMs;
    const done = new AbortController();
    let wake = (): void => {};
    cluster.watch(name, done.signal, () => wake());
    let last: DeploymentStatus | undefined;
    let told = '';
    try {
      while (clock.nowMs() < deadlineMs) {
        // Made before looking, so that no change falls between.
        const changed = new Promise<void>((resolve) => {
          wake = resolve;
        });
        last = await cluster.status(name, signal);
        if (last === undefined) throw this.#gone(name);
        if (isReady(last)) return;
        const trouble = await this.#trouble(deployment, name, signal);
        if (trouble !== told && trouble !== '') log(`Waiting for ${name}: ${trouble}`);
        told = trouble;
        const wait = new AbortController();
        const untilMs = Math.min(deadlineMs, clock.nowMs() + pollMs);
        const sleeping = sleepUntil(clock, untilMs, AbortSignal.any([signal, wait.signal])).catch(() => {});
        await Promise.race([sleeping, changed]);
        wait.abort();
        signal.throwIfAborted();
      }
    } finally {
      done.abort();
    }
    throw fail('KV_ENGINE_NOT_READY', {
      order: name,
      seconds: readyTimeoutMs / 1000,
      reason: await this.#whyNot(deployment, name, last),
    });
  }

  #gone(name: string): Error {
    return fail('KV_KUBERNETES', {
      action: `waiting for deployment ${name}`,
      reason: 'it was deleted meanwhile',
      mend: 'Leave deployments of a running profile alone.',
    });
  }

  /** What holds its pods up. An image that cannot be pulled, which will not be there at the deadline either, is thrown. */
  async #trouble(deployment: Deployment, name: string, signal: AbortSignal): Promise<string> {
    const { cluster } = this.#options;
    const pods = (await cluster.pods(name, deployment.serviceNames, signal)).map(({ pod }) => pod);
    for (const pod of pods) {
      const trouble = imageTrouble(pod);
      if (trouble === undefined) continue;
      throw fail('KV_IMAGE_UNAVAILABLE', {
        ...trouble,
        pod: pod.metadata?.name,
        namespace: cluster.namespace,
      });
    }
    return pods.flatMap((pod) => podTrouble(pod, false)).join('; ');
  }

  /** The conditions that do not hold, and what pods wait for. */
  async #whyNot(deployment: Deployment, name: string, last: DeploymentStatus | undefined): Promise<string> {
    const conditions = (last?.conditions ?? [])
      .filter(({ status }) => status !== 'True')
      .map(({ type, reason, message }) => `${type}: ${message ?? reason ?? 'no reason given'}`);
    const pods = await this.#options.cluster.pods(name, deployment.serviceNames);
    const waiting = pods.flatMap(({ pod }) => podTrouble(pod, true));
    return [`state ${last?.state ?? 'unknown'}`, ...conditions, ...waiting].join('; ');
  }

  /** Saves the log of every pod as the reference does; returns those of the worker under test. */
  async #saveLogs(order: EngineOrder, name: string): Promise<string> {
    const { cluster, backend } = this.#options;
    const services = order.deployment.serviceNames;
    const worker = order.deployment.workerService('decode', backendOf(backend).defaultServices.decode);
    const workerLogs: string[] = [];
    const counts = new Map<string, number>();
    for (const { service, pod } of await cluster.pods(name, services)) {
      const i = counts.get(service) ?? 0;
      counts.set(service, i + 1);
      const container = pod.spec?.containers.find(({ name: one }) => one === 'main')?.name;
      const text = await cluster.log(pod.metadata?.name ?? '', container);
      await writeFileAtomic(join(order.workDir, name, service.toLowerCase(), `${i}.log`), text);
      if (service === worker) workerLogs.push(text);
    }
    return workerLogs.join('\n');
  }

  /** A deployment can be ready a little before its frontend lists the model. */
  async #untilServing(url: string, signal: AbortSignal): Promise<void> {
    const { client, clock, readyTimeoutMs, pollMs = POLL_MS } = this.#options;
    const deadlineMs = clock.nowMs() + Math.min(readyTimeoutMs, SERVING_MS);
    for (;;) {
      try {
        await client.facts(url);
        return;
      } catch (thrown) {
        if (clock.nowMs() >= deadlineMs)
          throw fail('KV_ENGINE_NOT_READY', {
            order: url,
            seconds: SERVING_MS / 1000,
            reason: toError(thrown).message,
          });
      }
      await sleepUntil(clock, clock.nowMs() + Math.min(pollMs, SERVING_POLL_MS), signal);
    }
  }
}

/** The operator says it twice: a condition, and the state. */
export function isReady(status: DeploymentStatus | undefined): boolean {
  const ready = status?.conditions?.some(({ type, status: holds }) => type === 'Ready' && holds === 'True');
  return ready === true && status?.state === 'successful';
}
