import type { WorkerInstance } from '../transport/discovery.ts';
import { answersNothing } from '../transport/engine-failure.ts';
import type { HttpClient } from '../transport/http-client.ts';
import type { Relay } from '../transport/relay.ts';
import type { WorkerPool } from './worker-pool.ts';

export interface WatchedRequest {
  readonly pool: WorkerPool;
  readonly instance: WorkerInstance;
  readonly relay: Relay;
  /** Whether another worker can take over now; a request that none can is left to the time limits. */
  canMove(): boolean;
}

/**
 * Gives a request up once its worker has been taken out of the pool and says nothing any more, neither to the request
 * nor when asked: a process that hangs keeps its connections, and would keep the request for minutes. One that only
 * drains goes on with it. Returns what ends the watch.
 */
export function watchForHang(client: HttpClient, request: WatchedRequest): () => void {
  const {
    pool,
    instance: { workerId, url },
    relay,
  } = request;
  return pool.onRemoved(workerId, async () => {
    const { lastMs } = relay;
    const hangs = (await answersNothing(client, url)) && relay.lastMs === lastMs;
    if (hangs && request.canMove()) relay.breakOff('it hangs: it was given up as it answers nothing');
  });
}
