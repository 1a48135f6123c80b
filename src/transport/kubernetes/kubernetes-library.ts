import type { KubeConfig } from '@kubernetes/client-node';
import { fail, toError } from '../../base/errors.ts';
import { readKubernetesConfig } from './kubernetes-config.ts';
import { startWatch, type WatchRequest } from './kubernetes-watch.ts';

type KubernetesLibrary = typeof import('@kubernetes/client-node');
type ApiClass<T> = new (configuration: ReturnType<KubernetesLibrary['createConfiguration']>) => T;

/** A server that takes a connection and never answers is as good as away. */
const CALL_MS = 30_000;

/** The official Kubernetes client, an optional package, and how to reach the API. */
export interface KubernetesConnection {
  readonly library: KubernetesLibrary;
  readonly config: KubeConfig;
  /** A client of one part of the API, whose calls end within 30 s. */
  client<T>(api: ApiClass<T>): T;
  /** As {@link startWatch}. */
  watch<T>(request: WatchRequest<T>): () => void;
}

/**
 * `kubeconfig` is as of {@link readKubernetesConfig}; `flag` is what needs the connection; `signal` ends calls under way.
 * Asks nothing of the cluster.
 */
export async function connectKubernetes(
  flag: string,
  kubeconfig: string | undefined,
  signal?: AbortSignal,
): Promise<KubernetesConnection> {
  const library = await loadKubernetes(flag);
  const config = readKubernetesConfig(() => new library.KubeConfig(), kubeconfig);
  const { server } = config.getCurrentCluster()!;
  const configuration = library.createConfiguration({
    baseServer: new library.ServerConfiguration(server, {}),
    authMethods: { default: config },
    promiseMiddleware: [
      {
        pre: async (request) => {
          const late = AbortSignal.timeout(CALL_MS);
          request.setSignal(signal === undefined ? late : AbortSignal.any([late, signal]));
          return request;
        },
        post: async (response) => response,
      },
    ],
  });
  return {
    library,
    config,
    client: (api) => new api(configuration),
    watch: (request) => startWatch(library.Watch, config, request),
  };
}

async function loadKubernetes(flag: string): Promise<KubernetesLibrary> {
  try {
    return await import('@kubernetes/client-node');
  } catch (cause) {
    const facts = { name: '@kubernetes/client-node', reason: toError(cause).message, feature: flag };
    throw fail('KV_OPTIONAL_MISSING', facts, cause);
  }
}
