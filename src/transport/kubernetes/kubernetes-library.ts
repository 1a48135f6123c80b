import type { KubeConfig } from '@kubernetes/client-node';
import { fail, toError } from '../../base/errors.ts';
import { failure } from './kubernetes-failure.ts';

type KubernetesLibrary = typeof import('@kubernetes/client-node');

/**
 * The official Kubernetes client, an optional package, and how to reach the API: `kubeconfig` names a file; undefined:
 * the pod's service account, or the user's default. `flag` is what needs it.
 */
export async function connectKubernetes(
  flag: string,
  kubeconfig: string | undefined,
): Promise<{ readonly library: KubernetesLibrary; readonly config: KubeConfig }> {
  const library = await loadKubernetes(flag);
  const config = new library.KubeConfig();
  try {
    if (kubeconfig === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfig);
  } catch (thrown) {
    throw failure('reading the Kubernetes configuration', thrown, 'Check --kubeconfig.');
  }
  return { library, config };
}

async function loadKubernetes(flag: string): Promise<KubernetesLibrary> {
  try {
    return await import('@kubernetes/client-node');
  } catch (cause) {
    const facts = { name: '@kubernetes/client-node', reason: toError(cause).message, feature: flag };
    throw fail('KV_OPTIONAL_MISSING', facts, cause);
  }
}
