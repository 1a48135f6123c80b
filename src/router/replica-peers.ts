import { z } from 'zod';
import { fail, toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { decodeReplicaMessage, encodeReplicaMessage } from '../formats/replica/message-codec.ts';
import type { ReplicaMessage } from '../formats/replica/replica-message.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { Replica } from '../kv/replica/replica.ts';
import type { ReplicaSeries } from '../metrics/replica-metrics.ts';
import type { HttpClient } from '../transport/http-client.ts';
import { UrlSet } from './url-set.ts';

const TIMEOUT_MS = 2000;
/** Messages on their way to one peer; what is beyond is dropped, found missing there, and asked for again. */
const MAX_UNDER_WAY = 64;

/** How a message travels between services. */
export const replicaEnvelope = z.object({
  /** Partition of the bookings, `model:group`. */
  partition: z.string().max(1024),
  /** The only router that it is for; all where absent. */
  to: z.string().max(256).optional(),
  /** Base64 of what `formats/replica` encodes. */
  message: z.string(),
});
type Envelope = z.infer<typeof replicaEnvelope>;

export interface ReplicaPeersParts {
  /** Name of this service among its peers. */
  readonly router: string;
  readonly client: HttpClient;
  readonly log: Log;
  readonly seriesOf: (partition: string) => ReplicaSeries;
}

/** Shares the bookings of a service's partitions with services that are named to it. Each tells those that it was told of. */
export class ReplicaPeers {
  readonly #parts: ReplicaPeersParts;
  readonly #urls = new UrlSet();
  readonly #underWay = new Map<string, number>();
  readonly #members = new Map<string, { readonly replica: Replica; readonly series: ReplicaSeries }>();

  constructor(parts: ReplicaPeersParts) {
    this.#parts = parts;
  }

  list(): readonly string[] {
    return this.#urls.list();
  }

  /** Whether it is new; it is then told all that is booked here. Throws KV_REQUEST_INVALID for what is no HTTP URL. */
  add(url: string): boolean {
    const isNew = this.#urls.add(url);
    if (isNew) for (const { replica } of this.#members.values()) replica.greet();
    return isNew;
  }

  /** Whether it was there. What it booked expires here if it does not say goodbye. */
  remove(url: string): boolean {
    return this.#urls.remove(url);
  }

  /** Shares a partition's bookings until its router stops. */
  join(partition: string, router: KvRouter): void {
    const series = this.#parts.seriesOf(partition);
    let unwatch = (): void => {};
    const replica = router.shareBookings({
      router: this.#parts.router,
      observer: series,
      send: (message, to) => {
        const sent = this.#send(partition, message, to);
        if (!sent) series.dropped();
        return sent;
      },
      close: () => {
        unwatch();
        this.#members.delete(partition);
      },
    });
    unwatch = series.watch(() => replica.peers());
    this.#members.set(partition, { replica, series });
  }

  /** Takes what a peer tells. Throws KV_REQUEST_INVALID for a message that cannot be read. */
  receive({ partition, to, message }: Envelope): void {
    if (to !== undefined && to !== this.#parts.router) return;
    const member = this.#members.get(partition);
    const read = decodeReplicaMessage(Buffer.from(message, 'base64'));
    if (read === undefined) {
      member?.series.ignored('malformed');
      throw fail('KV_REQUEST_INVALID', {
        param: 'message',
        reason: 'message: is no message of replica sync',
        mend: 'Run the same version of Kvasir on both sides.',
      });
    }
    // Without the partition there are no workers that could be booked.
    member?.replica.receive(read);
  }

  #send(partition: string, message: ReplicaMessage, to: string | undefined): boolean {
    const text = Buffer.from(encodeReplicaMessage(message)).toString('base64');
    const envelope: Envelope = { partition, ...(to !== undefined && { to }), message: text };
    const sent = this.#urls.list().map((url) => this.#post(url, envelope));
    // A service without peers has nobody who could miss it.
    return sent.length === 0 || sent.includes(true);
  }

  #post(url: string, body: Envelope): boolean {
    const underWay = this.#underWay.get(url) ?? 0;
    if (underWay >= MAX_UNDER_WAY) return false;
    this.#underWay.set(url, underWay + 1);
    const { client, log } = this.#parts;
    client
      .text(`${url}/replica_sync/messages`, { method: 'POST', body, timeoutMs: TIMEOUT_MS })
      .catch((thrown) =>
        log.debug({ peer: url, reason: toError(thrown).message }, 'a peer did not take a message'),
      )
      .finally(() => {
        const left = (this.#underWay.get(url) ?? 1) - 1;
        if (left > 0) this.#underWay.set(url, left);
        else this.#underWay.delete(url);
      });
    return true;
  }
}
