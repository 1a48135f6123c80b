import { type Clock, RealClock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { SettingsOf } from '../base/settings.ts';
import { advertisedUrl } from '../transport/advertised-url.ts';
import { describeEngine } from '../transport/describe-engine.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import { HttpClient } from '../transport/http-client.ts';
import { publishLoad } from '../transport/nats/load-reports.ts';
import type { NatsConnection } from '../transport/nats/nats-connection.ts';
import { NatsEventPublisher } from '../transport/nats/nats-event-publisher.ts';
import { NATS_EVENTS } from '../transport/nats/nats-event-source.ts';
import { NatsRegistration } from '../transport/nats/nats-registration.ts';
import { kvEventsSubject } from '../transport/nats/subjects.ts';
import { zmqEventSources } from '../transport/zmq/zmq-event-source.ts';
import type { RunningWorker } from '../worker/start-worker.ts';
import { UpstreamWorker } from '../worker/upstream-worker.ts';
import type { WORKER_SETTINGS } from '../worker/worker-settings.ts';
import { connectNats } from './open-plane.ts';

type WorkerSettings = SettingsOf<typeof WORKER_SETTINGS>;

/** A worker's part in the distributed plane. */
export interface PlaneMembership {
  /** Lets no new requests come; events still go out. Call it before the worker drains. */
  withdraw(): Promise<void>;
  stop(): Promise<void>;
}

const LOOK_TIMEOUT_MS = 5000;
const LOAD_INTERVAL_MS = 250;
/** Loads that do not change are told again so often, for frontends that came later. */
const LOAD_REPEAT_MS = 5000;

/** Registers a worker, and publishes its KV events and loads, as the settings say; undefined if they say nothing. */
export async function joinPlane(
  worker: RunningWorker | UpstreamWorker,
  settings: WorkerSettings,
  log: Log,
): Promise<PlaneMembership | undefined> {
  const overNats = eventsGoOverNats(settings);
  if (settings.discovery !== 'nats' && !overNats) return undefined;
  const clock = new RealClock();
  const connection = await connectNats(settings, { clock, log }, 'worker');
  const client = new HttpClient();
  const { namespace, component, leaseSecs, natsReplicas: replicas, advertiseHost } = settings;
  const subject = kvEventsSubject(namespace, component, worker.workerId);
  const stopEvents = overNats ? await publishEvents(worker, { connection, subject, client, log }) : undefined;
  const kvEvents = stopEvents === undefined ? undefined : `${NATS_EVENTS}${subject}`;
  const registration = new NatsRegistration({
    connection,
    namespace,
    component,
    replicas,
    leaseMs: 1000 * leaseSecs,
    clock,
    log,
    workerId: worker.workerId,
    look: async (signal) => {
      const limits = { timeoutMs: LOOK_TIMEOUT_MS, signal };
      const instance = await describeEngine(client, { url: worker.url }, worker.workerId, limits);
      return advertised(instance, advertiseHost, kvEvents);
    },
  });
  if (settings.discovery === 'nats') registration.start();
  const stopLoads = publishLoads(worker, { connection, namespace, component, clock });
  let withdrawn: Promise<void> | undefined;
  const withdraw = (): Promise<void> => {
    withdrawn ??= registration.stop();
    return withdrawn;
  };
  return {
    withdraw,
    async stop() {
      await withdraw();
      stopLoads();
      await stopEvents?.();
      await connection.stop();
      await client.stop();
    },
  };
}

function eventsGoOverNats({ eventPlane, discovery, kvEvents, engine }: WorkerSettings): boolean {
  if (eventPlane !== undefined) return eventPlane === 'nats';
  // A sidecar's engine publishes already, if it does, where frontends can hear it.
  return discovery === 'nats' && kvEvents === undefined && engine === 'sim';
}

/** The worker as others reach it. */
function advertised(
  instance: WorkerInstance,
  host: string | undefined,
  kvEvents: string | undefined,
): WorkerInstance {
  const url = advertisedUrl(instance.url, host);
  const reached = new URL(url).hostname;
  const here = (address: string | undefined): string | undefined =>
    address?.replace(/^tcp:\/\/(\*|0\.0\.0\.0|\[::\]):/, `tcp://${reached}:`);
  return {
    ...instance,
    url,
    kvEvents: kvEvents ?? here(instance.kvEvents),
    replay: kvEvents === undefined ? here(instance.replay) : undefined,
    snapshot: instance.snapshot?.replace(instance.url, url),
  };
}

interface EventParts {
  readonly connection: NatsConnection;
  readonly subject: string;
  readonly client: HttpClient;
  readonly log: Log;
}

/** Publishes a simulated engine's own batches, or passes on those of a running one; returns what ends it. */
async function publishEvents(
  worker: RunningWorker | UpstreamWorker,
  { connection, subject, client, log }: EventParts,
): Promise<(() => Promise<void>) | undefined> {
  const ends: (() => void | Promise<void>)[] = [];
  const parts = { connection, subject, log };
  if (worker instanceof UpstreamWorker) {
    const sources = zmqEventSources(worker.upstream, { client, log, flag: '--kv-events' });
    if (sources.length === 0) {
      log.warn(
        { engine: worker.upstream.url },
        'no KV events to pass on: name the engine’s publisher with --kv-events',
      );
      return undefined;
    }
    for (const source of sources) {
      const publisher = new NatsEventPublisher({
        ...parts,
        dpRank: source.dpRank,
        replay: async (fromSeq, onBatch) => {
          const { end } = await source.replay(fromSeq, ({ seq, payload }) => onBatch(seq, payload));
          if (end !== 'complete') throw new Error(`the engine’s replay ended with ${end}`);
        },
      });
      publisher.start();
      await source.start({ batch: ({ seq, payload }) => publisher.pass(seq, payload) });
      ends.push(
        () => source.stop(),
        () => publisher.stop(),
      );
    }
  } else {
    for (let dpRank = 0; dpRank < worker.dpSize; dpRank++) {
      const publisher = new NatsEventPublisher({ ...parts, dpRank });
      publisher.start();
      ends.push(
        worker.encodedEvents(dpRank, (payload, seq) => publisher.pass(seq, payload)),
        () => publisher.stop(),
      );
    }
  }
  return async () => {
    for (const end of ends) await end();
  };
}

interface LoadParts {
  readonly connection: NatsConnection;
  readonly namespace: string;
  readonly component: string;
  readonly clock: Clock;
}

/** Tells of each rank's KV blocks in use when they change; returns what ends it. */
function publishLoads(
  worker: RunningWorker | UpstreamWorker,
  { connection, clock, ...place }: LoadParts,
): () => void {
  const told: { blocks: number; atMs: number }[] = [];
  let cancel: () => void = () => {};
  let ended = false;
  const look = async (): Promise<void> => {
    const used = await worker.usedBlocks().catch(() => []);
    for (const [dpRank, kvUsedBlocks] of used.entries()) {
      const last = told[dpRank];
      const nowMs = clock.nowMs();
      if (kvUsedBlocks === undefined) continue;
      if (last?.blocks === kvUsedBlocks && nowMs - last.atMs < LOAD_REPEAT_MS) continue;
      const load = { workerId: worker.workerId, dpRank, kvUsedBlocks };
      const sent = publishLoad(connection, place, {
        ...load,
        activeDecodeBlocks: undefined,
        activePrefillTokens: undefined,
      });
      if (sent) told[dpRank] = { blocks: kvUsedBlocks, atMs: nowMs };
    }
    if (!ended) cancel = clock.at(clock.nowMs() + LOAD_INTERVAL_MS, () => void look());
  };
  void look();
  return () => {
    ended = true;
    cancel();
  };
}
