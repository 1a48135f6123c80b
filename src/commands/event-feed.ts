import type { Clock } from '../base/clock.ts';
import { toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { EventDecoder } from '../formats/kv-events/event-decoder.ts';
import type { EventSource as IntakeSource } from '../kv/intake/event-source.ts';
import type { IntakeStream } from '../kv/intake/intake.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { FeedListener, FollowedRank } from '../router/rank-feeds.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import type { EventSource, PublishedBatch } from '../transport/event-source.ts';
import type { HttpClient } from '../transport/http-client.ts';
import type { NatsConnection } from '../transport/nats/nats-connection.ts';
import { NATS_EVENTS, natsEventSources } from '../transport/nats/nats-event-source.ts';
import { PULLED_EVENTS, pulledEventSources } from '../transport/pulled-event-source.ts';
import { zmqEventSource, zmqEventSources } from '../transport/zmq/zmq-event-source.ts';
import type { RunningWorker } from '../worker/start-worker.ts';

/** Ends a feed; the router forgets what it told. */
type StopFeed = () => void;

/** Feeds a worker of this process to a router's index, without the wire. */
export function followWorker(worker: RunningWorker | undefined, router: KvRouter): StopFeed {
  if (worker === undefined) return () => {};
  const streams = Array.from({ length: worker.dpSize }, (_, dpRank) => {
    const snapshot = async () => {
      const { lastSeq, events } = await worker.heldBlocks(dpRank);
      return { lastSeq, engineEvents: events };
    };
    return router.intake.open({ workerId: worker.workerId, dpRank }, { snapshot });
  });
  const unlisten = worker.engineEvents((batch, seq) => streams[batch.dpRank ?? 0]?.deliver({ seq, batch }));
  return () => {
    unlisten();
    for (const stream of streams) stream.close();
  };
}

export interface FeedParts {
  readonly client: HttpClient;
  readonly log: Log;
  /** For workers that publish on NATS. */
  readonly nats?: NatsConnection | undefined;
}

/** Feeds an engine's events, of each rank, from ZMQ, NATS or itself, to a router's index. */
export function followEngine(
  instance: WorkerInstance,
  router: KvRouter,
  parts: FeedParts & { readonly clock: Clock },
): StopFeed {
  const sources = eventSources(instance, parts);
  if (sources.length === 0)
    for (let dpRank = 0; dpRank < instance.dpSize; dpRank++)
      router.intake.markSilent({ workerId: instance.workerId, dpRank });
  const feeds = sources.map((source) => followSource(instance, source, router, parts.log));
  return () => {
    for (const stop of feeds) stop();
  };
}

function eventSources(
  instance: WorkerInstance,
  { client, clock, log, nats: connection }: FeedParts & { readonly clock: Clock },
): EventSource[] {
  if (instance.kvEvents === PULLED_EVENTS) return pulledEventSources(instance, { client, clock, log });
  if (!instance.kvEvents?.startsWith(NATS_EVENTS)) return zmqEventSources(instance, { client, log });
  if (connection !== undefined) return natsEventSources(instance, { connection, client });
  log.error(
    { engine: instance.url },
    'KV events cannot be read: they are on NATS, and --nats-server is not in use',
  );
  return [];
}

/** Feeds one rank whose endpoints are told, as services that others register workers with do. */
export function followRank(
  { workerId, snapshot, cacheSalt, ...endpoints }: FollowedRank,
  router: KvRouter,
  listener: FeedListener,
  { client, log }: FeedParts,
): StopFeed {
  const source = zmqEventSource({ snapshot }, endpoints, { client, log, flag: 'endpoint' });
  return followSource({ workerId, url: endpoints.endpoint }, source, router, log, { ...listener, cacheSalt });
}

function followSource(
  { workerId, url }: Pick<WorkerInstance, 'workerId' | 'url'>,
  source: EventSource,
  router: KvRouter,
  log: Log,
  { connected, failed, otherwise, cacheSalt }: Partial<FeedListener> & Pick<IntakeSource, 'cacheSalt'> = {},
): StopFeed {
  const { dpRank } = source;
  const decoder = new EventDecoder();
  // A batch that cannot be read is not delivered: its number is then missing, and it is asked for again.
  const pass = ({ seq, payload }: PublishedBatch, deliver: IntakeStream['deliver'] | undefined): void => {
    const batch = decoder.decode(payload);
    if (batch !== undefined) deliver?.({ seq, batch });
  };
  const past: IntakeSource = {
    cacheSalt,
    replay: async (fromSeq, deliver) =>
      (await source.replay(fromSeq, (batch) => pass(batch, deliver))).end === 'complete',
    snapshot: async () => {
      const held = await source.snapshot();
      if (held !== undefined) return { lastSeq: held.lastSeq, engineEvents: held.events };
      const elsewhere = await otherwise?.();
      if (elsewhere === undefined) throw new Error(`${url} serves no snapshot`);
      return elsewhere;
    },
  };
  let stream: IntakeStream | undefined;
  let connections = 0;
  const started = source.start({
    batch: (batch) => pass(batch, stream?.deliver),
    connected: () => {
      connected?.();
      if (connections++ > 0) stream?.reconnected();
    },
  });
  // Opened once live batches can come, as the past is asked for at once.
  started.then(
    () => {
      stream = router.intake.open({ workerId, dpRank }, past);
    },
    (thrown: unknown) => {
      const { message: reason, hint } = toError(thrown);
      failed?.(reason);
      log.error({ engine: url, dpRank, reason, hint }, 'KV events cannot be read');
    },
  );
  return () => {
    stream?.close();
    stream = undefined;
    void started.then(
      () => source.stop(),
      () => {},
    );
  };
}
