import { fail } from '../base/errors.ts';
import { int, list, text } from '../base/settings.ts';
import { DEFAULT_NAME } from './partitions.ts';

/** Where a service listens. */
export function serviceSettings(port: number) {
  return {
    host: text({ default: '127.0.0.1', placeholder: 'ADDRESS', help: 'address to listen on' }),
    port: int({
      default: port,
      min: 0,
      max: 65_535,
      placeholder: 'PORT',
      aliases: ['--http-port'],
      help: 'port of the HTTP API; 0 picks a free one',
    }),
    drainSecs: int({ default: 5, min: 0, help: 'how long requests under way may take to end at shutdown' }),
  };
}

const PEERS = {
  placeholder: 'URL',
  help: 'services with the same index, of which the first that answers is asked for its blocks at the start',
};

export const INDEXER_SETTINGS = {
  ...serviceSettings(8090),
  workers: list({
    placeholder: 'ID[:RANK]=ZMQ',
    help: 'workers to follow from the start, as in 1=tcp://host:5557,2:1=tcp://host:5558',
  }),
  blockSize: int({ min: 1, help: 'tokens of a KV block of those workers' }),
  modelName: text({ default: DEFAULT_NAME, placeholder: 'NAME', help: 'model of those workers' }),
  routingGroup: text({ default: DEFAULT_NAME, placeholder: 'NAME', help: 'routing group of those workers' }),
  peers: list(PEERS),
};

export const SLOT_TRACKER_SETTINGS = {
  ...serviceSettings(8091),
  requestExpirySecs: int({
    default: 300,
    min: 1,
    placeholder: 'SECONDS',
    env: 'DYN_ROUTER_ACTIVE_REQUEST_EXPIRY_SECS',
    help: 'a request of which nothing is heard for so long is freed',
  }),
};

export const SELECTION_SETTINGS = {
  ...serviceSettings(8092),
  indexerPeers: list(PEERS),
  replicaPeers: list({
    placeholder: 'URL',
    help: 'services of the same workers that are told what is booked here; name this one to them too',
  }),
};

/** One of `--workers`. */
export interface NamedWorker {
  readonly workerId: string;
  readonly dpRank: number;
  readonly endpoint: string;
}

export function readWorkers(texts: readonly string[]): readonly NamedWorker[] {
  return texts.map((written) => {
    const [, workerId, rank, endpoint] = /^(\d{1,20})(?::(\d{1,9}))?=(.+)$/.exec(written.trim()) ?? [];
    if (workerId === undefined || endpoint === undefined)
      throw fail('KV_SETTING_INVALID', {
        setting: '--workers',
        value: written,
        reason: 'is not ID[:RANK]=ZMQ',
        mend: 'Write 1=tcp://host:5557, and 1:2=tcp://host:5559 for rank 2.',
      });
    return { workerId, dpRank: Number(rank ?? 0), endpoint };
  });
}
