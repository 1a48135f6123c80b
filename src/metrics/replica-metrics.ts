import type { Family } from './family.ts';
import type { Gauge } from './gauge.ts';
import { REPLICA } from './names/scale-out.ts';
import type { ProcessMetrics } from './process-metrics.ts';
import type { WorkerType } from './worker-load-metrics.ts';

/** What a replica knows of a peer at the time of a scrape. */
export interface PeerView {
  readonly router: string;
  readonly bookings: number;
  readonly behind: number;
  readonly lagMs: number;
}

export interface ReplicaSeries {
  published(changes: number): void;
  received(router: string, changes: number): void;
  gap(): void;
  snapshotSent(): void;
  snapshotLoaded(): void;
  peerLeft(router: string, reason: string): void;
  ignored(reason: string): void;
  dropped(): void;
  /** Asks for the peers at every scrape; returns how to stop, which also ends the series. */
  watch(peers: () => readonly PeerView[]): () => void;
}

/** `kvasir_replica_*`: bookings shared with other routers. Make one per process and share it. */
export class ReplicaMetrics {
  readonly #metrics: ProcessMetrics;

  constructor(metrics: ProcessMetrics) {
    this.#metrics = metrics;
  }

  /** The series of the router of a model and kind of workers. */
  router(model: string, workerType: WorkerType): ReplicaSeries {
    const registry = this.#metrics.service;
    const labels = { model, worker_type: workerType };
    const changes = registry.counter(REPLICA.changesTotal);
    const [out, into] = ['out', 'in'].map((direction) => changes.with({ ...labels, direction }));
    const snapshots = registry.counter(REPLICA.snapshotsTotal);
    const [sent, loaded] = ['out', 'in'].map((direction) => snapshots.with({ ...labels, direction }));
    const gaps = registry.counter(REPLICA.gapsTotal).with(labels);
    const lost = registry.counter(REPLICA.peersLostTotal);
    const dropped = registry.counter(REPLICA.droppedMessagesTotal).with(labels);
    const ignored = registry.counter(REPLICA.ignoredMessagesTotal);
    const peers = registry.gauge(REPLICA.peers).with(labels);
    const bookings = registry.gauge(REPLICA.bookings).with(labels);
    const ofPeers = [registry.gauge(REPLICA.missingChanges), registry.gauge(REPLICA.lagSeconds)] as const;
    const forget = (peer: string): void => forgetPeer(ofPeers, { ...labels, peer });
    return {
      published: (count) => out!.inc(count),
      received: (_, count) => into!.inc(count),
      gap: () => gaps.inc(),
      snapshotSent: () => sent!.inc(),
      snapshotLoaded: () => loaded!.inc(),
      peerLeft: (router, reason) => {
        lost.with({ ...labels, reason }).inc();
        forget(router);
      },
      ignored: (reason) => ignored.with({ ...labels, reason }).inc(),
      dropped: () => dropped.inc(),
      watch: (peersNow) => {
        const stop = this.#metrics.onScrape(() => {
          const views = peersNow();
          peers.set(views.length);
          bookings.set(views.reduce((sum, view) => sum + view.bookings, 0));
          for (const { router: peer, behind, lagMs } of views) {
            ofPeers[0].with({ ...labels, peer }).set(behind);
            ofPeers[1].with({ ...labels, peer }).set(lagMs / 1000);
          }
        });
        return () => {
          stop();
          for (const { router } of peersNow()) forget(router);
          peers.set(0);
          bookings.set(0);
        };
      },
    };
  }
}

type PeerLabels = 'model' | 'peer' | 'worker_type';

function forgetPeer(
  families: readonly Family<PeerLabels, Gauge>[],
  labels: Readonly<Record<PeerLabels, string>>,
): void {
  for (const family of families) family.removeWhere(labels);
}
