import { RealClock } from '../base/clock.ts';
import { int, type SettingsOf, text } from '../base/settings.ts';
import { ClaimPod } from '../transport/kubernetes/claim-pod.ts';

/** Settings of the commands that look into a volume claim. */
export const CLAIM_SETTINGS = {
  namespace: text({ default: 'dynamo-sla-profiler', help: 'Kubernetes namespace of the claim' }),
  claim: text({ default: 'dynamo-pvc', placeholder: 'NAME', help: 'persistent volume claim' }),
  image: text({
    default: 'ubuntu:22.04',
    help: 'image of the pod that mounts the claim for the copying; it needs sh, find and cat',
  }),
  readyTimeout: int({ default: 60, min: 1, help: 'seconds to wait until that pod runs' }),
  kubeconfig: text({
    env: 'KUBECONFIG',
    placeholder: 'FILE',
    help: 'how to reach the Kubernetes API; ~/.kube/config, or the service account of the pod, unless given',
  }),
} as const;

/** Runs `use` with the claim mounted; the pod is deleted whatever happens. */
export async function withClaim<T>(
  { namespace, claim, image, readyTimeout, kubeconfig }: SettingsOf<typeof CLAIM_SETTINGS>,
  signal: AbortSignal,
  use: (pod: ClaimPod) => Promise<T>,
): Promise<T> {
  const readyTimeoutMs = readyTimeout * 1000;
  const clock = new RealClock();
  const pod = await ClaimPod.start({ namespace, claim, image, kubeconfig, readyTimeoutMs, clock, signal });
  try {
    return await use(pod);
  } finally {
    await pod.stop();
  }
}
