import type { KvRouter } from '../kv/kv-router.ts';
import type { Replica } from '../kv/replica/replica.ts';
import type { ReplicaSeries } from '../metrics/replica-metrics.ts';
import type { NatsConnection } from '../transport/nats/nats-connection.ts';
import { ReplicaLink } from '../transport/nats/replica-link.ts';

/** A router as its peers know it. */
export interface GroupMember {
  /** Routers of one group share their bookings: the same model, hop and block size. */
  readonly group: string;
  readonly name: string;
  readonly series: ReplicaSeries;
  /** Ask peers for the bookings of this router's former life. */
  readonly restore?: boolean | undefined;
}

/** Joins a router to its group over NATS; ended by `router.stop()`. */
export function shareBookings(
  router: KvRouter,
  { group, name, series, restore = false }: GroupMember,
  { connection, namespace }: { readonly connection: NatsConnection; readonly namespace: string },
): Replica {
  const link = new ReplicaLink({ connection, namespace, group, router: name });
  const ends: (() => void)[] = [() => link.stop()];
  let replica: Replica | undefined;
  link.start(
    (message) => replica?.receive(message),
    () => series.ignored('malformed'),
  );
  replica = router.shareBookings({
    router: name,
    restore,
    observer: series,
    send: (message, to) => {
      const sent = link.send(message, to);
      if (!sent) series.dropped();
      return sent;
    },
    close: () => {
      for (const end of ends.splice(0)) end();
    },
  });
  const joined = replica;
  ends.push(
    series.watch(() => joined.peers()),
    connection.onConnect(() => joined.greet()),
  );
  return joined;
}
