import { KvasirError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { rankEndpoint } from '../transport/zmq/zmq-endpoint.ts';
import { ZmqPublisher } from '../transport/zmq/zmq-publisher.ts';

export interface KvPublishersOptions {
  /** Rank 0's; rank r is at its port plus r. */
  readonly kvEvents: string;
  readonly replay: string | undefined;
  readonly topic: string;
  readonly ranks: number;
  readonly log: Log;
}

const ATTEMPTS = 10;
const FREE_PORT = /^(?:bind\+)?tcp:\/\/.*:(0|\*)$/;

/** Starts one publisher per rank. Where rank 0 has a free port, the others follow it, or all try again. */
export async function startKvPublishers(options: KvPublishersOptions): Promise<readonly ZmqPublisher[]> {
  const { kvEvents, replay, ranks } = options;
  const retries = ranks > 1 && [kvEvents, replay ?? ''].some((address) => FREE_PORT.test(address));
  for (let attempt = 1; ; attempt++) {
    const publishers: ZmqPublisher[] = [];
    try {
      for (let rank = 0; rank < ranks; rank++) {
        const publisher = makePublisher(options, rank, publishers[0]);
        publishers.push(publisher);
        await publisher.start();
      }
      return publishers;
    } catch (thrown) {
      for (const publisher of publishers) await publisher.stop();
      const busy = thrown instanceof KvasirError && thrown.code === 'KV_PORT_BUSY';
      if (!busy || !retries || attempt >= ATTEMPTS) throw thrown;
    }
  }
}

function makePublisher(
  { kvEvents, replay, topic, log }: KvPublishersOptions,
  rank: number,
  first: ZmqPublisher | undefined,
): ZmqPublisher {
  return new ZmqPublisher({
    endpoint: rankEndpoint(first?.endpoint ?? kvEvents, rank, '--kv-events'),
    flag: '--kv-events',
    replayEndpoint:
      replay === undefined ? undefined : rankEndpoint(first?.replayEndpoint ?? replay, rank, '--replay'),
    replayFlag: '--replay',
    topic,
    log,
  });
}
