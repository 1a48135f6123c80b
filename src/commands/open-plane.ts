import { hostname } from 'node:os';
import type { Clock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { SettingsOf } from '../base/settings.ts';
import { BlockHasher } from '../kv/hash.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { Discovery, WorkerInstance } from '../transport/discovery.ts';
import type { DISCOVERY_SETTINGS } from '../transport/discovery-settings.ts';
import { parseEngineSpec, workerIdOf } from '../transport/engine-spec.ts';
import type { HttpClient } from '../transport/http-client.ts';
import { followLoads, type LoadMessage } from '../transport/nats/load-reports.ts';
import { NatsConnection } from '../transport/nats/nats-connection.ts';
import { NatsDiscovery } from '../transport/nats/nats-discovery.ts';
import { parseNatsServers } from '../transport/nats/nats-servers.ts';
import { authorizeEngines } from './authorize-engines.ts';
import { followEngine } from './event-feed.ts';
import { type GroupMember, shareBookings } from './share-bookings.ts';

export interface PlaneSettings extends SettingsOf<typeof DISCOVERY_SETTINGS> {
  readonly engine: readonly string[];
  readonly namespace: string;
  readonly routerReplicaSync: boolean;
}

/** What a process that routes knows of the fleet around it, however that is told. */
export interface Plane {
  readonly discovery: Discovery;
  feedEvents(instance: WorkerInstance, router: KvRouter): () => void;
  /** Absent unless bookings are shared. */
  readonly shareBookings: ((router: KvRouter, member: GroupMember) => void) | undefined;
  /** Loads that workers tell of themselves; returns what ends it. */
  followLoads(onLoad: (load: LoadMessage) => void): () => void;
  /** Starts looking; returns at once. */
  start(): void;
  stop(): Promise<void>;
}

interface PlaneParts {
  readonly client: HttpClient;
  readonly clock: Clock;
  readonly log: Log;
}

interface StartedDiscovery extends Discovery {
  start(): void;
}

const ANSWER_MS = 2000;

/** Puts together what the settings say; connections are made in the background. */
export async function openPlane(settings: PlaneSettings, parts: PlaneParts): Promise<Plane> {
  checkEngines(settings);
  const { client, clock, log } = parts;
  const nats =
    settings.discovery === 'nats' || settings.routerReplicaSync
      ? await connectNats(settings, parts, 'frontend')
      : undefined;
  const discovery = await makeDiscovery(settings, parts, nats);
  const { namespace } = settings;
  return {
    discovery,
    feedEvents: (instance, router) => followEngine(instance, router, { client, clock, log, nats }),
    shareBookings:
      nats === undefined || !settings.routerReplicaSync
        ? undefined
        : (router, member) => void shareBookings(router, member, { connection: nats, namespace }),
    followLoads: (onLoad) => (nats === undefined ? () => {} : followLoads(nats, namespace, onLoad)),
    start: () => discovery.start(),
    async stop() {
      await discovery.stop();
      await nats?.stop();
    },
  };
}

/** The NATS connection of a process, which is named for its role. */
export async function connectNats(
  settings: Pick<
    PlaneSettings,
    'natsServer' | 'natsCredentialsFile' | 'natsCaFile' | 'natsCertFile' | 'natsKeyFile'
  >,
  { clock, log }: Omit<PlaneParts, 'client'>,
  role: string,
): Promise<NatsConnection> {
  const connection = new NatsConnection({
    ...parseNatsServers(settings.natsServer),
    files: {
      credentials: settings.natsCredentialsFile,
      ca: settings.natsCaFile,
      cert: settings.natsCertFile,
      key: settings.natsKeyFile,
    },
    name: `kvasir-${role}@${hostname()}`,
    clock,
    log,
  });
  await connection.start();
  return connection;
}

function checkEngines({ discovery, engine }: PlaneSettings): void {
  if (discovery === 'static' && engine.length === 0)
    throw fail('KV_USAGE', {
      reason: 'no engine is given',
      mend: 'Name at least one with --engine http://HOST:PORT, or find them with --discovery nats or kubernetes.',
    });
  if (discovery !== 'static' && engine.length > 0)
    throw fail('KV_USAGE', {
      reason: `--engine and --discovery ${discovery} exclude each other`,
      mend: 'Leave one of them out.',
    });
}

async function makeDiscovery(
  settings: PlaneSettings,
  { client, clock, log }: PlaneParts,
  nats: NatsConnection | undefined,
): Promise<StartedDiscovery> {
  const hasher = new BlockHasher();
  const idOf = (url: string): string => workerIdOf(url, (bytes, seed) => hasher.hashBytes(bytes, seed));
  if (settings.discovery === 'nats') {
    const { namespace, leaseSecs, natsReplicas: replicas } = settings;
    const answers = (url: string): Promise<boolean> =>
      client.text(`${url}/health`, { timeoutMs: ANSWER_MS }).then(
        ({ status }) => status < 500,
        () => false,
      );
    const leaseMs = 1000 * leaseSecs;
    return new NatsDiscovery({ connection: nats!, namespace, leaseMs, replicas, clock, log, answers });
  }
  if (settings.discovery === 'kubernetes') {
    const { KubernetesDiscovery } = await import('../transport/kubernetes/kubernetes-discovery.ts');
    return KubernetesDiscovery.open({
      client,
      clock,
      log,
      workerIdOf: idOf,
      namespace: settings.kubeNamespace,
      kubeconfig: settings.kubeconfig,
      labelSelector: settings.kubeSelector,
      ports: {
        api: settings.kubePort,
        kvEvents: settings.kubeKvEventsPort,
        replay: settings.kubeReplayPort,
      },
    });
  }
  const { StaticDiscovery } = await import('../transport/discovery-static.ts');
  const engines = settings.engine.map((text) => parseEngineSpec(text));
  authorizeEngines(client, engines);
  return new StaticDiscovery({ engines, client, clock, log, workerIdOf: idOf });
}
