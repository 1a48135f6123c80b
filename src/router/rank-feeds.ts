import type { Snapshot } from '../kv/intake/event-source.ts';
import type { KvRouter } from '../kv/kv-router.ts';

/** Where one rank of a registered worker publishes its KV events. */
export interface FollowedRank {
  readonly workerId: string;
  readonly dpRank: number;
  /** ZMQ publisher. */
  readonly endpoint: string;
  /** ZMQ socket that replays, if there is one. */
  readonly replay: string | undefined;
  /** URL of all held blocks, of workers that serve them. */
  readonly snapshot: string | undefined;
  /** Salt of its blocks where its events name none. */
  readonly cacheSalt?: string | undefined;
}

export interface FeedListener {
  connected(): void;
  failed(reason: string): void;
  /** All blocks of the rank as somebody else knows them, where its worker does not tell. */
  otherwise(): Promise<Snapshot | undefined>;
}

/** Feeds a rank's events to a router's index until the returned function is called. */
export type FollowRank = (rank: FollowedRank, router: KvRouter, listener: FeedListener) => () => void;

export type ListenerStatus = 'pending' | 'active' | 'failed';

/** One rank's listener as its owner shows it. */
export interface RankListener {
  readonly endpoint: string;
  status: ListenerStatus;
  lastError: string | undefined;
  readonly stop: () => void;
}

/** Starts to follow a rank; the listener's status changes by itself. */
export function listen(
  follow: FollowRank,
  rank: FollowedRank,
  router: KvRouter,
  otherwise: FeedListener['otherwise'],
): RankListener {
  const state: { status: ListenerStatus; lastError: string | undefined } = {
    status: 'pending',
    lastError: undefined,
  };
  const stop = follow(rank, router, {
    connected: () => {
      state.status = 'active';
      state.lastError = undefined;
    },
    failed: (reason) => {
      state.status = 'failed';
      state.lastError = reason;
    },
    otherwise,
  });
  return Object.assign(state, { endpoint: rank.endpoint, stop });
}
