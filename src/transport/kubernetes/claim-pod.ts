import { PassThrough, Writable } from 'node:stream';
import type { CoreV1Api, Exec, V1Pod, V1Status } from '@kubernetes/client-node';
import { type Clock, sleepUntil } from '../../base/clock.ts';
import { fail } from '../../base/errors.ts';
import { failure, isNotFound, isRefusal } from './kubernetes-failure.ts';
import { connectKubernetes } from './kubernetes-library.ts';

/** Where the claim is mounted in the pod. */
export const CLAIM_MOUNT = '/data';
const POD = 'pvc-access-pod';
const CONTAINER = 'access';
const USER = 1000;
const SMALL = { cpu: '500m', memory: '256Mi' };
/** One that nobody stopped ends by itself. */
const LONGEST_LIFE_S = 3600;
const POLL_MS = 500;
const CHUNK_BYTES = 64 * 1024;
const MOST_ERROR_BYTES = 4096;

export interface ClaimPodOptions {
  readonly namespace: string;
  readonly claim: string;
  readonly image: string;
  readonly kubeconfig: string | undefined;
  readonly readyTimeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface ClaimFile {
  readonly path: string;
  readonly sizeBytes: number;
}

/** A pod that does nothing but mount a volume claim, so that its files can be read and written. `stop()` deletes it. */
export class ClaimPod {
  readonly #options: ClaimPodOptions;
  readonly #core: CoreV1Api;
  readonly #exec: Exec;

  private constructor(options: ClaimPodOptions, core: CoreV1Api, exec: Exec) {
    this.#options = options;
    this.#core = core;
    this.#exec = exec;
  }

  /** Creates the pod, in place of one that an earlier run left, and waits until it runs. */
  static async start(options: ClaimPodOptions): Promise<ClaimPod> {
    const { library, config, client } = await connectKubernetes('reading a volume claim', options.kubeconfig);
    const pod = new ClaimPod(options, client(library.CoreV1Api), new library.Exec(config));
    await pod.#remove();
    try {
      await pod.#create();
      await pod.#untilRunning();
      return pod;
    } catch (thrown) {
      await pod.#remove().catch(() => {});
      throw thrown;
    }
  }

  stop(): Promise<void> {
    return this.#remove();
  }

  /** Files below a folder, at any depth, in the order of their paths. */
  async list(folder: string, except: readonly string[]): Promise<ClaimFile[]> {
    const filter = except.flatMap((pattern) => ['!', '-name', pattern]);
    const command = ['find', folder, '-type', 'f', ...filter, '-printf', String.raw`%s %p\0`];
    const entries = (await this.#run(command)).toString('utf8').split('\0').slice(0, -1);
    return entries
      .map((entry) => {
        const space = entry.indexOf(' ');
        return { sizeBytes: Number(entry.slice(0, space)), path: entry.slice(space + 1) };
      })
      .toSorted((a, b) => (a.path < b.path ? -1 : 1));
  }

  async read({ path, sizeBytes }: ClaimFile): Promise<Buffer> {
    const content = await this.#run(['cat', '--', path]);
    if (content.length >= sizeBytes) return content;
    const reason = `${content.length} of ${sizeBytes} bytes came`;
    throw fail('KV_KUBERNETES', { action: `reading ${path}`, reason, mend: 'Run the command again.' });
  }

  /** Makes missing folders; the file appears whole or not at all. */
  async write(path: string, content: Buffer): Promise<void> {
    const script = 'mkdir -p "$(dirname "$1")" && head -c "$2" > "$1.tmp" && mv "$1.tmp" "$1"';
    await this.#run(['sh', '-c', script, 'sh', path, String(content.length)], content);
  }

  async #create(): Promise<void> {
    const { namespace, claim, image } = this.#options;
    const body: V1Pod = {
      metadata: { name: POD, namespace, labels: { 'app.kubernetes.io/managed-by': 'kvasir' } },
      spec: {
        restartPolicy: 'Never',
        activeDeadlineSeconds: LONGEST_LIFE_S,
        terminationGracePeriodSeconds: 0,
        automountServiceAccountToken: false,
        securityContext: {
          runAsUser: USER,
          runAsGroup: USER,
          fsGroup: USER,
          runAsNonRoot: true,
          seccompProfile: { type: 'RuntimeDefault' },
        },
        containers: [
          {
            name: CONTAINER,
            image,
            command: ['sleep', 'infinity'],
            // What the strictest pod security standard and a quota of cpu and memory ask for.
            securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
            resources: { requests: SMALL, limits: SMALL },
            volumeMounts: [{ name: 'data', mountPath: CLAIM_MOUNT }],
          },
        ],
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName: claim } }],
      },
    };
    try {
      await this.#core.createNamespacedPod({ namespace, body });
    } catch (thrown) {
      throw this.#failure(`creating pod ${POD}`, thrown);
    }
  }

  async #untilRunning(): Promise<void> {
    const { clock, readyTimeoutMs, namespace, signal } = this.#options;
    const deadlineMs = clock.nowMs() + readyTimeoutMs;
    let pod: V1Pod | undefined;
    while (clock.nowMs() < deadlineMs) {
      pod = await this.#look();
      if (pod?.status?.phase === 'Running') return;
      await sleepUntil(clock, Math.min(deadlineMs, clock.nowMs() + POLL_MS), signal);
    }
    throw fail('KV_KUBERNETES', {
      action: `starting pod ${POD}`,
      reason: `it was not running after ${readyTimeoutMs / 1000} s: ${whyNot(pod)}`,
      mend: `Check the claim in namespace ${namespace} (--claim) and the image (--image), or allow more time with --ready-timeout.`,
    });
  }

  async #look(): Promise<V1Pod | undefined> {
    try {
      return await this.#core.readNamespacedPod({ namespace: this.#options.namespace, name: POD });
    } catch (thrown) {
      if (isNotFound(thrown)) return undefined;
      throw this.#failure(`reading pod ${POD}`, thrown);
    }
  }

  /** Resolves when it is gone, so that one of its name can be created. */
  async #remove(): Promise<void> {
    const { namespace, clock, readyTimeoutMs } = this.#options;
    try {
      await this.#core.deleteNamespacedPod({ namespace, name: POD, gracePeriodSeconds: 0 });
    } catch (thrown) {
      if (isNotFound(thrown)) return;
      throw this.#failure(`deleting pod ${POD}`, thrown);
    }
    const deadlineMs = clock.nowMs() + readyTimeoutMs;
    while (clock.nowMs() < deadlineMs && (await this.#look()) !== undefined)
      await sleepUntil(clock, clock.nowMs() + POLL_MS);
  }

  #failure(action: string, thrown: unknown): Error {
    const { namespace } = this.#options;
    const mend = isRefusal(thrown)
      ? `Mend what it says, or allow get, create and delete of pods, and get and create of pods/exec, in namespace ${namespace}.`
      : `Check --namespace and --kubeconfig. If pod ${POD} is left over, delete it by hand.`;
    return failure(action, thrown, mend);
  }

  /** What the command prints; throws when it ends with another code than 0, or the connection breaks. */
  async #run(command: readonly string[], input?: Buffer): Promise<Buffer> {
    const { namespace, signal } = this.#options;
    const action = `running ${command[0]} in pod ${POD}`;
    signal.throwIfAborted();
    const out = new Collector();
    const err = new Collector();
    // Never ended: older servers close the whole connection with it.
    const stdin = input === undefined ? null : new PassThrough();
    const done = new AbortController();
    const status = await new Promise<V1Status>((resolve, reject) => {
      this.#exec
        .exec(namespace, POD, CONTAINER, [...command], out, err, stdin, false, resolve)
        .then((socket) => {
          const broken = (): void => reject(new Error('the connection broke off'));
          socket.on('close', broken).on('error', broken);
          signal.addEventListener('abort', () => socket.close(), { once: true, signal: done.signal });
          for (let at = 0; stdin !== null && at < input!.length; at += CHUNK_BYTES)
            stdin.write(input!.subarray(at, at + CHUNK_BYTES));
        }, reject);
    })
      .catch((thrown: { message?: string }) => {
        signal.throwIfAborted();
        const cause = new Error(thrown.message);
        throw failure(action, cause, `Allow get and create of pods/exec in namespace ${namespace}.`);
      })
      .finally(() => done.abort());
    if (status.status === 'Success') return out.content();
    const said = err.content().subarray(0, MOST_ERROR_BYTES).toString('utf8').trim();
    throw fail('KV_KUBERNETES', {
      action,
      reason: said || status.message || 'no reason given',
      mend: 'Check the path on the claim.',
    });
  }
}

class Collector extends Writable {
  readonly #chunks: Buffer[] = [];

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#chunks.push(chunk);
    done();
  }

  content(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

/** What the scheduler and the kubelet say of a pod that does not run. */
function whyNot(pod: V1Pod | undefined): string {
  const conditions = (pod?.status?.conditions ?? []).flatMap(({ message }) => message ?? []);
  const waiting = (pod?.status?.containerStatuses ?? []).flatMap(
    ({ state }) => state?.waiting?.message ?? state?.waiting?.reason ?? [],
  );
  return [pod?.status?.phase ?? 'it is not there', ...conditions, ...waiting].join('; ');
}
