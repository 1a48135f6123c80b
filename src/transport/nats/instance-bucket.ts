import type { KV } from '@nats-io/kv';
import type { Log } from '../../base/log.ts';
import type { NatsConnection } from './nats-connection.ts';
import { loadJetStream, loadNatsKv } from './nats-library.ts';
import { instanceBucket } from './subjects.ts';

export interface InstanceBucketOptions {
  readonly connection: NatsConnection;
  readonly namespace: string;
  /** Records that are not written again for so long are gone. */
  readonly leaseMs: number;
  /** Servers of a cluster that keep it. */
  readonly replicas: number;
  readonly log: Log;
}

const HOUR_MS = 3_600_000;
const FLAG = '--discovery nats';

/**
 * The JetStream KV bucket where workers of a namespace put their records, made if need be. It lives in the server's
 * memory: records are renewed every few seconds, so there is nothing worth a disk. Rejects while NATS is away.
 */
export async function openInstanceBucket(options: InstanceBucketOptions): Promise<KV> {
  const { connection, namespace, leaseMs, replicas, log } = options;
  const { client } = connection;
  if (client === undefined) throw new Error(`NATS is away: ${connection.reason}`);
  const [{ Kvm }, { StorageType, jetstream }] = await Promise.all([loadNatsKv(FLAG), loadJetStream(FLAG)]);
  const name = instanceBucket(namespace);
  const kv = await new Kvm(jetstream(client)).create(name, {
    history: 1,
    ttl: leaseMs,
    replicas,
    storage: StorageType.Memory,
    description: 'workers that are ready, each renewed within its lease',
  });
  // A bucket that was there keeps its own time: shorter than the lease, and records would vanish in between.
  const { ttl } = await kv.status();
  if (ttl > 0 && ttl < leaseMs)
    log.warn({ bucket: name, ttlMs: ttl, leaseMs }, 'the bucket forgets records before their lease ends');
  if (ttl === 0 || ttl > HOUR_MS)
    log.warn({ bucket: name, ttlMs: ttl }, 'the bucket keeps records of dead workers');
  return kv;
}
