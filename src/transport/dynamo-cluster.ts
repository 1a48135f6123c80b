import type { ApisApi, CoreV1Api, CustomObjectsApi, V1Node, V1Pod } from '@kubernetes/client-node';
import { type Clock, sleepUntil } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import {
  failure,
  isConflict,
  isNotFound,
  isPassing,
  isUnserved,
  reasonOf,
  statusOf,
} from './kubernetes/kubernetes-failure.ts';
import { connectKubernetes, type KubernetesConnection } from './kubernetes/kubernetes-library.ts';
import { PatientCalls } from './kubernetes/patient-calls.ts';

const RESOURCE = { group: 'nvidia.com', plural: 'dynamographdeployments' } as const;
/** How the operator marks pods; one that rolls updates gives workers a `selector` that cannot be foretold. */
const LABELS = {
  deployment: 'nvidia.com/dynamo-graph-deployment-name',
  service: 'nvidia.com/dynamo-component',
  selector: 'nvidia.com/selector',
} as const;
/** Between the end of a watch and the next one. */
const REWATCH_MS = 1000;

/** What the operator says of a deployment; all else in it is the user's. */
export interface DeploymentStatus {
  readonly state?: string;
  readonly conditions?: readonly {
    readonly type?: string;
    readonly status?: string;
    readonly reason?: string;
    readonly message?: string;
  }[];
}

/** A pod of a deployment, and the service that it is of. */
export interface ServicePod {
  readonly service: string;
  readonly pod: V1Pod;
}

export interface ClusterOptions {
  readonly namespace: string;
  /** Of the API, as the deployments are written. */
  readonly version: string;
  /** A file, or several parted as in PATH; undefined means the pod's service account or the user's default. */
  readonly kubeconfig: string | undefined;
  readonly clock: Clock;
  readonly log: (line: string) => void;
}

/**
 * DynamoGraphDeployments of one namespace, their pods and the cluster's nodes, over the Kubernetes API. While a server
 * that has answered before is away, calls wait for it.
 */
export class DynamoCluster {
  readonly #options: ClusterOptions;
  readonly #resource: typeof RESOURCE & { readonly version: string; readonly namespace: string };
  readonly #calls: PatientCalls;
  readonly #core: CoreV1Api;
  readonly #custom: CustomObjectsApi;
  readonly #groups: ApisApi;
  readonly #watch: KubernetesConnection['watch'];

  private constructor(options: ClusterOptions, { library, client, watch }: KubernetesConnection) {
    const { version, namespace } = options;
    this.#options = options;
    this.#resource = { ...RESOURCE, version, namespace };
    this.#calls = new PatientCalls(options);
    this.#core = client(library.CoreV1Api);
    this.#custom = client(library.CustomObjectsApi);
    this.#groups = client(library.ApisApi);
    this.#watch = watch;
  }

  static async open(options: ClusterOptions): Promise<DynamoCluster> {
    return new DynamoCluster(options, await connectKubernetes('--target kubernetes', options.kubeconfig));
  }

  get namespace(): string {
    return this.#options.namespace;
  }

  /** False if one of that name is there already. */
  async create(deployment: Readonly<Record<string, unknown>>, signal?: AbortSignal): Promise<boolean> {
    try {
      return await this.#calls.make(
        'create',
        async (again) => {
          try {
            await this.#custom.createNamespacedCustomObject({ ...this.#resource, body: deployment });
            return true;
          } catch (thrown) {
            if (!isConflict(thrown)) throw thrown;
            return again;
          }
        },
        signal,
      );
    } catch (thrown) {
      throw this.#failure('creating the deployment', thrown, signal);
    }
  }

  /** Undefined while there is no such deployment. */
  async status(name: string, signal?: AbortSignal): Promise<DeploymentStatus | undefined> {
    try {
      const found = (await this.#calls.make(
        'get',
        () => this.#custom.getNamespacedCustomObject({ ...this.#resource, name }),
        signal,
      )) as { readonly status?: DeploymentStatus };
      return found.status ?? {};
    } catch (thrown) {
      if (isNotFound(thrown)) return undefined;
      throw this.#failure(`reading deployment ${name}`, thrown, signal);
    }
  }

  /** Names of the deployments with a label. */
  async labelled(labelSelector: string): Promise<string[]> {
    try {
      const { items } = (await this.#calls.make('list', () =>
        this.#custom.listNamespacedCustomObject({ ...this.#resource, labelSelector }),
      )) as { readonly items?: readonly { readonly metadata?: { readonly name?: string } }[] };
      return (items ?? []).flatMap(({ metadata }) => metadata?.name ?? []);
    } catch (thrown) {
      if (isUnserved(thrown)) throw await this.#unserved();
      throw this.#failure('listing deployments', thrown);
    }
  }

  /** One that is gone already is deleted. */
  async delete(name: string): Promise<void> {
    try {
      await this.#calls.make('delete', () =>
        this.#custom.deleteNamespacedCustomObject({ ...this.#resource, name }),
      );
    } catch (thrown) {
      if (!isNotFound(thrown))
        throw failure(`deleting deployment ${name}`, thrown, `Delete it by hand in ${this.namespace}.`);
    }
  }

  /** Calls back when the deployment has changed or may have; ends with the signal. Never, if it may not be watched. */
  watch(name: string, signal: AbortSignal, changed: () => void): void {
    const { group, version, namespace, plural } = this.#resource;
    const path = `/apis/${group}/${version}/namespaces/${namespace}/${plural}`;
    const query = { fieldSelector: `metadata.name=${name}` };
    const { clock } = this.#options;
    const follow = async (): Promise<void> => {
      while (!signal.aborted) {
        const thrown = await new Promise<unknown>((done) => {
          const end = this.#watch({ path, query, take: changed, done });
          signal.addEventListener('abort', end, { once: true });
        });
        const { statusCode = 0 } = (thrown ?? {}) as { readonly statusCode?: number };
        // Whoever may not watch is told by polling.
        if (signal.aborted || statusCode === 401 || statusCode === 403) return;
        changed();
        await sleepUntil(clock, clock.nowMs() + REWATCH_MS, signal).catch(() => {});
      }
    };
    void follow();
  }

  /** The pods of some services of a deployment. */
  async pods(
    deployment: string,
    services: readonly string[],
    signal?: AbortSignal,
  ): Promise<readonly ServicePod[]> {
    const serviceOf = ({ metadata }: V1Pod): string | undefined => {
      const labels = metadata?.labels ?? {};
      return services.find(
        (service) =>
          labels[LABELS.service]?.toLowerCase() === service.toLowerCase() ||
          labels[LABELS.selector] === selectorOf(deployment, service),
      );
    };
    try {
      const marked = await this.#labelledPods(`${LABELS.deployment}=${deployment}`, signal);
      const selectors = services.map((service) => selectorOf(deployment, service));
      const pods =
        marked.length > 0
          ? marked
          : await this.#labelledPods(`${LABELS.selector} in (${selectors.join(',')})`, signal);
      return pods.flatMap((pod) => {
        const service = serviceOf(pod);
        return service === undefined ? [] : [{ service, pod }];
      });
    } catch (thrown) {
      throw this.#failure('listing pods', thrown, signal);
    }
  }

  /** All that a container of a pod has printed. */
  async log(pod: string, container: string | undefined): Promise<string> {
    const { namespace } = this;
    const which = { namespace, name: pod, ...(container !== undefined && { container }) };
    try {
      return (await this.#calls.make('get pods/log', () => this.#core.readNamespacedPodLog(which))) ?? '';
    } catch (thrown) {
      throw this.#failure(`reading the log of pod ${pod}`, thrown);
    }
  }

  async nodes(): Promise<V1Node[]> {
    try {
      return (await this.#calls.make('list nodes', () => this.#core.listNode())).items;
    } catch (thrown) {
      throw failure('listing nodes', thrown, 'Allow nodes list, or give --max-num-gpus-per-engine.');
    }
  }

  async #labelledPods(labelSelector: string, signal: AbortSignal | undefined): Promise<V1Pod[]> {
    const { namespace } = this;
    const list = () => this.#core.listNamespacedPod({ namespace, labelSelector });
    return (await this.#calls.make('list pods', list, signal)).items;
  }

  /** The operator is not installed, or an older or newer one is. */
  async #unserved(): Promise<Error> {
    const { group, version } = this.#resource;
    const { groups } = await this.#groups.getAPIVersions();
    const served = groups.find(({ name }) => name === group)?.versions.map((each) => each.version) ?? [];
    return fail('KV_KUBERNETES', {
      action: `listing DynamoGraphDeployments of ${group}/${version}`,
      reason: `the cluster serves ${served.length === 0 ? `nothing of ${group}` : `only ${group}/${served.join(', ')}`}`,
      mend:
        served.length === 0
          ? 'Install the Dynamo operator.'
          : `Write the deployment file in ${served.join(' or ')}, or install an operator that knows ${version}.`,
    });
  }

  /** What stopped the wait is not a fault of the cluster. */
  #failure(action: string, thrown: unknown, signal?: AbortSignal): unknown {
    return signal?.aborted ? signal.reason : failure(action, thrown, this.#mend(thrown));
  }

  #mend(thrown: unknown): string {
    const { namespace } = this;
    const status = statusOf(thrown);
    if (status === 401) return 'Renew the credentials that --kubeconfig names.';
    if (status === undefined || isPassing(thrown))
      return 'Check --kubeconfig, and that the API server can be reached.';
    if (status !== 403) return 'Mend the deployment file as the API server asks for.';
    return reasonOf(thrown).includes('exceeded quota')
      ? `Raise the quota of namespace ${namespace}, or delete what it was spent on.`
      : `Allow it in namespace ${namespace}; deploy/kubernetes/profiler-rbac.yaml has all that a profile needs.`;
  }
}

function selectorOf(deployment: string, service: string): string {
  return `${deployment}-${service.toLowerCase()}`;
}
