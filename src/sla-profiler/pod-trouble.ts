import type { V1ContainerStatus, V1Pod } from '@kubernetes/client-node';

/** A kubelet says these when pulling again will not help, or has not for a while. */
const IMAGE_TROUBLE = new Set(['ImagePullBackOff', 'InvalidImageName', 'ErrImageNeverPull']);

export interface ImageTrouble {
  readonly image: string;
  readonly reason: string;
}

/** An image of the pod that will not be there however long one waits. */
export function imageTrouble(pod: V1Pod): ImageTrouble | undefined {
  for (const { image, state } of containersOf(pod)) {
    const { reason = '', message } = state?.waiting ?? {};
    if (IMAGE_TROUBLE.has(reason)) return { image, reason: message ?? reason };
  }
  return undefined;
}

/** Every pod waits for these for a while. */
const STARTING = new Set(['ContainerCreating', 'PodInitializing']);

/**
 * What the scheduler and the kubelet say of a pod that does not get ready, in short sentences. Of one that is just starting
 * nothing, unless `all` is asked for.
 */
export function podTrouble(pod: V1Pod, all: boolean): string[] {
  const unscheduled = pod.status?.conditions?.find(
    ({ type, status }) => type === 'PodScheduled' && status === 'False',
  );
  const said = [unscheduled?.message, ...containersOf(pod).map(containerTrouble)];
  return said.flatMap((text) =>
    text === undefined || (!all && STARTING.has(text)) ? [] : `pod ${pod.metadata?.name}: ${text}`,
  );
}

function containersOf({ status }: V1Pod): V1ContainerStatus[] {
  return [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
}

function containerTrouble({ name, state, lastState, restartCount }: V1ContainerStatus): string | undefined {
  const waiting = state?.waiting?.reason;
  const ended = state?.terminated ?? lastState?.terminated;
  if (ended === undefined || ended.exitCode === 0) return waiting;
  const how = `${name} ended with exit code ${ended.exitCode} (${ended.reason ?? 'no reason given'})`;
  const often = restartCount > 0 ? `, restarted ${restartCount} times` : '';
  return `${waiting === undefined ? '' : `${waiting}, `}${how}${often}`;
}
