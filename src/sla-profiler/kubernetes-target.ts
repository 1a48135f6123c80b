import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type Clock, sleepUntil } from '../base/clock.ts';
import { fail, toError } from '../base/errors.ts';
import { type BackendName, frontendPort } from '../formats/deployment/backend.ts';
import { backendOf } from '../formats/deployment/backends.ts';
import { writeFileAtomic } from '../transport/atomic-file.ts';
import type { DeploymentStatus, DynamoCluster } from '../transport/dynamo-cluster.ts';
import { EndpointEngine } from './endpoint-engine.ts';
import { kvCapacityFromLog } from './kv-capacity.ts';
import { attentionRanks } from './plan.ts';
import type { ProbeClient } from './probe-client.ts';
import type { EngineOrder, EngineUnderTest, ProfileTarget } from './target.ts';

/** Marks what this tool created, so that a run that was killed can be tidied up by the next one. */
const RUN_LABEL = 'kvasir.dev/profile-run';
const SELECTOR_LABEL = 'nvidia.com/selector';
/** Between two looks at a deployment, when no watch tells of changes. */
const POLL_MS = 20_000;
/** How long a frontend may take to list its model once the deployment is ready. */
const SERVING_MS = 120_000;
const SERVING_POLL_MS = 1000;
/** A kubelet says these when pulling again will not help, or has not for a while. */
const IMAGE_TROUBLE = new Set(['ImagePullBackOff', 'InvalidImageName', 'ErrImageNeverPull']);

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
    const name = `${order.deployment.name}-${randomBytes(2).toString('hex')}`;
    const body = this.#named(order, name);
    const url = this.#url(order, name);
    const stop = async (): Promise<void> => {
      client.forget(url);
      await cluster.delete(name);
    };
    log(`Deploying ${name} (${order.role} ${order.mapping.kind}${order.mapping.gpus})...`);
    await cluster.create(body);
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
      await this.#saveLogs(order, name).catch(() => {});
      await stop();
      throw thrown;
    }
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
    const host = serviceName ?? `${name}-frontend.${cluster.namespace}.svc.cluster.local`;
    return `http://${host}:${frontendPort(deployment, backendOf(backend))}`;
  }

  async #untilReady({ deployment }: EngineOrder, name: string, signal: AbortSignal): Promise<void> {
    const { cluster, clock, readyTimeoutMs, pollMs = POLL_MS } = this.#options;
    const deadlineMs = clock.nowMs() + readyTimeoutMs;
    const done = new AbortController();
    let wake = (): void => {};
    cluster.watch(name, done.signal, () => wake());
    const services = deployment.serviceNames.map((service) => `${name}-${service.toLowerCase()}`);
    const pods = `${SELECTOR_LABEL} in (${services.join(',')})`;
    let last: DeploymentStatus | undefined;
    try {
      while (clock.nowMs() < deadlineMs) {
        // Made before looking, so that no change falls between.
        const changed = new Promise<void>((resolve) => {
          wake = resolve;
        });
        last = await cluster.status(name);
        if (isReady(last)) return;
        await this.#checkImages(pods);
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
      reason: await this.#whyNot(pods, last),
    });
  }

  /** An image that cannot be pulled will not be there at the deadline either. */
  async #checkImages(selector: string): Promise<void> {
    for (const pod of await this.#options.cluster.pods(selector)) {
      const statuses = [
        ...(pod.status?.initContainerStatuses ?? []),
        ...(pod.status?.containerStatuses ?? []),
      ];
      const broken = statuses.find(({ state }) => IMAGE_TROUBLE.has(state?.waiting?.reason ?? ''));
      if (broken === undefined) continue;
      throw fail('KV_IMAGE_UNAVAILABLE', {
        image: broken.image,
        pod: pod.metadata?.name,
        reason: broken.state?.waiting?.message ?? broken.state?.waiting?.reason,
        namespace: this.#options.cluster.namespace,
      });
    }
  }

  /** The conditions that do not hold, and the pods that wait. */
  async #whyNot(selector: string, last: DeploymentStatus | undefined): Promise<string> {
    const conditions = (last?.conditions ?? [])
      .filter(({ status }) => status !== 'True')
      .map(({ type, reason, message }) => `${type}: ${message ?? reason ?? 'no reason given'}`);
    const pods = await this.#options.cluster.pods(selector);
    const waiting = pods.flatMap(({ metadata, status }) => {
      const unscheduled = status?.conditions?.find(
        (condition) => condition.type === 'PodScheduled' && condition.status === 'False',
      );
      const why = [
        unscheduled?.message,
        ...(status?.containerStatuses ?? []).map(({ state }) => state?.waiting?.reason),
      ];
      return why.filter((text) => text !== undefined).map((text) => `pod ${metadata?.name}: ${text}`);
    });
    return [`state ${last?.state ?? 'unknown'}`, ...conditions, ...waiting].join('; ');
  }

  /** Saves the log of every pod as the reference does; returns those of the worker under test. */
  async #saveLogs(order: EngineOrder, name: string): Promise<string> {
    const { cluster, backend } = this.#options;
    const worker = order.deployment.workerService('decode', backendOf(backend).defaultServices.decode);
    const workerLogs: string[] = [];
    for (const service of order.deployment.serviceNames) {
      const folder = service.toLowerCase();
      const pods = await cluster.pods(`${SELECTOR_LABEL}=${name}-${folder}`);
      for (const [i, pod] of pods.entries()) {
        const container = pod.spec?.containers.find(({ name: one }) => one === 'main')?.name;
        const text = await cluster.log(pod.metadata?.name ?? '', container);
        await writeFileAtomic(join(order.workDir, name, folder, `${i}.log`), text);
        if (service === worker) workerLogs.push(text);
      }
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
