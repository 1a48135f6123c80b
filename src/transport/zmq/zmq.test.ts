import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, test, vi } from 'vitest';
import * as zmq from 'zeromq';
import { until } from '../../../test/support/until.ts';
import type { PublishedBatch } from '../event-source.ts';
import { ReplayRing } from '../replay-ring.ts';
import { parseEndpoint, rankEndpoint } from './zmq-endpoint.ts';
import { seqFrame } from './zmq-frames.ts';
import { ZmqPublisher, type ZmqPublisherOptions } from './zmq-publisher.ts';
import { ZmqSubscriber, type ZmqSubscriberOptions } from './zmq-subscriber.ts';

const golden = new URL('../../../test/golden/kv-events/zmq.json', import.meta.url);
const frames = JSON.parse(readFileSync(golden, 'utf8')) as {
  readonly live: { readonly topic: string; readonly frames: readonly [string, string, string] };
  readonly live_empty_topic: { readonly frames: readonly [string, string, string] };
};
const FREE = 'tcp://127.0.0.1:0';
const opened: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const part of opened.splice(0)) await part.stop();
});

async function publisher(options: Partial<ZmqPublisherOptions> = {}): Promise<ZmqPublisher> {
  const made = new ZmqPublisher({ endpoint: FREE, flag: '--kv-events', replayEndpoint: FREE, ...options });
  opened.push(made);
  await made.start();
  return made;
}

/** A subscriber that is connected, with what it received so far. */
async function subscriber(options: Partial<ZmqSubscriberOptions> & { readonly endpoint: string }) {
  const received: PublishedBatch[] = [];
  let connections = 0;
  const made = new ZmqSubscriber({ flag: '--engine', ...options });
  opened.push(made);
  await made.start(
    (batch) => received.push(batch),
    () => connections++,
  );
  return { made, received, connections: () => connections };
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const shown = (batches: readonly PublishedBatch[]): string[] =>
  batches.map(({ topic, seq, payload }) => `${topic}/${seq}/${Buffer.from(payload).toString()}`);

/** Publishes until the subscription has reached the publisher, then forgets what came. */
async function settle(source: ZmqPublisher, received: PublishedBatch[]): Promise<number> {
  await until(() => {
    source.publish(bytes('probe'));
    return received.length > 0;
  });
  await until(() => received.at(-1)?.seq === source.lastSeq);
  received.length = 0;
  return source.lastSeq + 1;
}

describe('the live stream', () => {
  test('arrives whole, numbered, in order', async () => {
    const source = await publisher({ topic: 'kv@1' });
    const { received } = await subscriber({ endpoint: source.endpoint });
    const first = await settle(source, received);
    for (let i = 0; i < 5000; i++) source.publish(bytes(`batch ${i}`));
    await until(() => received.length === 5000);
    expect(shown([received[0]!, received[4999]!])).toEqual([
      `kv@1/${first}/batch 0`,
      `kv@1/${first + 4999}/batch 4999`,
    ]);
    expect(source.failed).toBe(0);
  });

  test.each([frames.live.frames, frames.live_empty_topic.frames])(
    'has the frames of vLLM: %s',
    async (...parts) => {
      const [topic, seq, payload] = parts.map((part) => Buffer.from(part, 'hex'));
      const source = new zmq.Publisher();
      await source.bind('tcp://127.0.0.1:*');
      const { received } = await subscriber({ endpoint: source.lastEndpoint! });
      await until(() => {
        void source.send([topic!, seq!, payload!]);
        return received.length > 0;
      });
      source.close();
      expect(received[0]).toEqual({
        topic: topic!.toString(),
        seq: Number(seq!.readBigUInt64BE()),
        payload: payload,
      });
      const ours = await publisher({ topic: topic!.toString() });
      const reader = new zmq.Subscriber();
      reader.connect(ours.endpoint);
      reader.subscribe();
      const probing = setInterval(() => ours.publish(payload!), 5);
      const message = await reader.receive();
      clearInterval(probing);
      reader.close();
      expect(message.map((frame) => frame.toString('hex'))).toEqual([
        parts[0],
        message[1]!.toString('hex'),
        parts[2],
      ]);
      expect(message[1]).toHaveLength(8);
    },
  );

  test('is filtered by the beginning of the topic', async () => {
    const ours = await publisher({ topic: 'kv@a@m' });
    const other = await publisher({ topic: 'kv@b@m', endpoint: FREE });
    const wanted = await subscriber({ endpoint: ours.endpoint, topic: 'kv@a' });
    const unwanted = await subscriber({ endpoint: other.endpoint, topic: 'kv@a' });
    const all = await subscriber({ endpoint: other.endpoint });
    await settle(ours, wanted.received);
    await settle(other, all.received);
    expect(unwanted.received).toEqual([]);
  });

  test('may be dialled out to a consumer that binds', async () => {
    const { made, received } = await subscriber({ endpoint: `bind+${FREE}` });
    expect(made.endpoint).toMatch(/^tcp:\/\/127\.0\.0\.1:\d+$/);
    const source = await publisher({ endpoint: `connect+${made.endpoint}` });
    await settle(source, received);
  });

  test('goes on after the publisher was away, and the consumer is told', async () => {
    const first = await publisher();
    const { endpoint } = first;
    const consumer = await subscriber({ endpoint });
    await settle(first, consumer.received);
    expect(consumer.connections()).toBe(1);
    await first.stop();
    // A connection of somebody else's may go out from the free port for a moment.
    const second = await vi.waitFor(() => publisher({ endpoint }), { timeout: 10_000 });
    await until(() => consumer.connections() === 2);
    await settle(second, consumer.received);
    expect(second.lastSeq).toBeLessThan(1000);
  });

  test('loses messages that are none, and no other', async () => {
    const source = new zmq.Publisher();
    await source.bind('tcp://127.0.0.1:*');
    const { made, received } = await subscriber({ endpoint: source.lastEndpoint! });
    await until(() => {
      void source.send(['', seqFrame(0), 'x']);
      return received.length > 0;
    });
    for (const message of [['only'], ['', 'short', 'x'], ['', seqFrame(1), 'x', 'more']])
      await source.send(message);
    await source.send(['', seqFrame(7), 'good']);
    await until(() => received.at(-1)?.seq === 7);
    expect(made.malformed).toBe(3);
    source.close();
  });

  test('may be stopped wherever it is in a backlog', async () => {
    // Without a timeout the binding sends at once, so that the whole backlog is there before anything is read.
    const source = new zmq.Publisher({ sendTimeout: 0 });
    await source.bind('tcp://127.0.0.1:*');
    // The binding puts off each 513th receive of a backlog: one of these stops falls upon that.
    for (let stopAt = 510; stopAt < 516; stopAt++) {
      const made = new ZmqSubscriber({ flag: '--engine', endpoint: source.lastEndpoint! });
      const read = { probes: 0, batches: 0 };
      const stopped = new Promise<void>((resolve, reject) => {
        const take = ({ topic }: PublishedBatch): void => {
          if (topic === 'probe') read.probes++;
          else if (++read.batches === stopAt) queueMicrotask(() => made.stop().then(resolve, reject));
        };
        made.start(take).catch(reject);
      });
      await until(async () => {
        if (read.probes === 0) await source.send(['probe', seqFrame(0), 'x']);
        return read.probes > 0;
      });
      for (let i = 0; i < 1000; i++) await source.send(['batch', seqFrame(i), 'x']);
      await stopped;
    }
    source.close();
  });

  test('names the flag when its port is taken', async () => {
    const { endpoint } = await publisher();
    await expect(publisher({ endpoint })).rejects.toMatchObject({
      code: 'KV_PORT_BUSY',
      hint: 'Choose another with --kv-events, or 0 for any free port.',
    });
    await expect(publisher({ replayEndpoint: endpoint })).rejects.toMatchObject({
      hint: 'Choose another with --replay, or 0 for any free port.',
    });
  });
});

describe('replay', () => {
  async function replayed(source: ZmqPublisher, from: number) {
    const consumer = await subscriber({ endpoint: source.endpoint, replayEndpoint: source.replayEndpoint });
    const batches: PublishedBatch[] = [];
    const outcome = await consumer.made.replay(from, (batch) => batches.push(batch));
    return { outcome, seqs: batches.map(({ seq }) => seq), batches };
  }

  test.each(['topic', 'plain'] as const)(
    'gives all from a number on, in the %s layout',
    async (replayLayout) => {
      const source = await publisher({ replayLayout, topic: 'kv' });
      for (let i = 0; i < 1000; i++) source.publish(bytes(`batch ${i}`));
      const { outcome, batches, seqs } = await replayed(source, 3);
      expect(outcome).toEqual({ end: 'complete', batches: 997 });
      expect(seqs).toEqual(Array.from({ length: 997 }, (_, i) => i + 3));
      expect(shown(batches.slice(0, 1))).toEqual([`${replayLayout === 'topic' ? 'kv' : ''}/3/batch 3`]);
    },
  );

  test('has the frames of vLLM before and since 0.26', async () => {
    for (const replayLayout of ['plain', 'topic'] as const) {
      const source = await publisher({ replayLayout, topic: 't' });
      source.publish(bytes('p'));
      const dealer = new zmq.Dealer({ receiveTimeout: 5000 });
      dealer.connect(source.replayEndpoint!);
      await dealer.send(['', seqFrame(0)]);
      const replies = [await dealer.receive(), await dealer.receive()];
      dealer.close();
      const hex = replies.map((reply) => reply.map((frame) => frame.toString('hex')));
      const topic = replayLayout === 'topic';
      expect(hex).toEqual([
        ['', ...(topic ? ['74'] : []), '0000000000000000', '70'],
        ['', ...(topic ? [''] : []), 'ffffffffffffffff', ''],
      ]);
    }
  });

  test('begins with the oldest that is kept, and ends at once beyond the newest', async () => {
    const source = await publisher({ replayBatches: 5 });
    for (let i = 0; i < 12; i++) source.publish(bytes('x'));
    expect((await replayed(source, 3)).seqs).toEqual([7, 8, 9, 10, 11]);
    expect((await replayed(source, 12)).outcome).toEqual({ end: 'complete', batches: 0 });
  });

  test('ignores a request of another form and answers the next', async () => {
    const source = await publisher();
    source.publish(bytes('x'));
    const dealer = new zmq.Dealer({ receiveTimeout: 5000 });
    dealer.connect(source.replayEndpoint!);
    await dealer.send(['', 'short']);
    await dealer.send([seqFrame(0)]);
    await dealer.send(['', seqFrame(0)]);
    expect((await dealer.receive()).at(-1)?.toString()).toBe('x');
    dealer.close();
  });

  test('gives up when nobody answers, and says when nobody could', async () => {
    const silent = new zmq.Router();
    await silent.bind('tcp://127.0.0.1:*');
    const source = await publisher();
    const consumer = await subscriber({ endpoint: source.endpoint, replayEndpoint: silent.lastEndpoint! });
    const outcome = await consumer.made.replay(0, () => {}, 50);
    silent.close();
    expect(outcome).toEqual({ end: 'timeout', batches: 0 });
    const without = await subscriber({ endpoint: source.endpoint });
    expect(await without.made.replay(0, () => {})).toEqual({ end: 'unavailable', batches: 0 });
  });

  test('is bounded in bytes as well as in number', () => {
    const ring = new ReplayRing(100, 50);
    for (let seq = 0; seq < 20; seq++) ring.push(seq, new Uint8Array(20));
    expect([ring.length, ring.from(0)?.seq, ring.lastSeq]).toEqual([2, 18, 19]);
    ring.push(20, new Uint8Array(1000));
    expect([ring.length, ring.from(0)?.seq, ring.from(21)]).toEqual([1, 20, undefined]);
  });
});

describe('endpoints', () => {
  test('say who binds', () => {
    expect(parseEndpoint('tcp://h:5557', 'connect', '--f')).toEqual({
      mode: 'connect',
      address: 'tcp://h:5557',
    });
    expect(parseEndpoint('bind+tcp://*:5557', 'connect', '--f')).toEqual({
      mode: 'bind',
      address: 'tcp://*:5557',
    });
    for (const wrong of ['5557', 'http://h:1', 'tcp://h', 'tcp://h:99999', 'tcp://h:x'])
      expect(() => parseEndpoint(wrong, 'bind', '--kv-events')).toThrow(/--kv-events: .* is no ZMQ endpoint/);
  });

  test('of ranks follow each other', () => {
    expect(rankEndpoint('tcp://*:5557', 3, '--f')).toBe('tcp://*:5560');
    expect(rankEndpoint('inproc://kv', 2, '--f')).toBe('inproc://kv_dp2');
    expect(rankEndpoint('tcp://127.0.0.1:0', 1, '--f')).toBe('tcp://127.0.0.1:0');
    expect(rankEndpoint('ipc:///tmp/x', 0, '--f')).toBe('ipc:///tmp/x');
    expect(() => rankEndpoint('ipc:///tmp/x', 1, '--f')).toThrow(/no place for more than one rank/);
  });
});
