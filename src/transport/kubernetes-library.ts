import { fail, toError } from '../base/errors.ts';

export type KubernetesLibrary = typeof import('@kubernetes/client-node');

/** The official Kubernetes client, an optional package; `flag` is what needs it. */
export async function loadKubernetes(flag: string): Promise<KubernetesLibrary> {
  try {
    return await import('@kubernetes/client-node');
  } catch (cause) {
    const facts = { name: '@kubernetes/client-node', reason: toError(cause).message, feature: flag };
    throw fail('KV_OPTIONAL_MISSING', facts, cause);
  }
}
