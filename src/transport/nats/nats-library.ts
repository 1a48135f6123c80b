import { fail, toError } from '../../base/errors.ts';

export type NatsLibrary = typeof import('@nats-io/transport-node');
export type KvLibrary = typeof import('@nats-io/kv');
export type JetStreamLibrary = typeof import('@nats-io/jetstream');

/** The official NATS client, an optional package; `flag` is what needs it. */
export function loadNats(flag: string): Promise<NatsLibrary> {
  return load('@nats-io/transport-node', flag, () => import('@nats-io/transport-node'));
}

export function loadNatsKv(flag: string): Promise<KvLibrary> {
  return load('@nats-io/kv', flag, () => import('@nats-io/kv'));
}

export function loadJetStream(flag: string): Promise<JetStreamLibrary> {
  return load('@nats-io/jetstream', flag, () => import('@nats-io/jetstream'));
}

async function load<T>(name: string, flag: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw fail('KV_OPTIONAL_MISSING', { name, reason: toError(cause).message, feature: flag }, cause);
  }
}
