import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { afterEach, describe, expect, test } from 'vitest';
import type { EngineEventBatch } from '../../src/formats/kv-events/engine-event.ts';
import { EventDecoder } from '../../src/formats/kv-events/event-decoder.ts';
import { EventEncoder } from '../../src/formats/kv-events/event-encoder.ts';
import type { PublishedBatch } from '../../src/transport/event-source.ts';
import { ZmqPublisher } from '../../src/transport/zmq/zmq-publisher.ts';
import { ZmqSubscriber } from '../../src/transport/zmq/zmq-subscriber.ts';
import { realPart } from '../support/real-part.ts';
import { eventually } from '../support/until.ts';

const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});

/** A consumer as others write it: pyzmq, msgpack of python, a DEALER for replay. Prints one JSON line a batch. */
const CONSUMER = `
import json, sys, zmq, msgpack
live, replay, topic, first, count = sys.argv[1:6]
context = zmq.Context()
sub = context.socket(zmq.SUB)
sub.setsockopt(zmq.RCVHWM, 0)
sub.connect(live)
sub.setsockopt_string(zmq.SUBSCRIBE, topic)
def show(kind, parts):
    ts, events, rank = msgpack.unpackb(parts[-1], strict_map_key=False)
    for event in events:
        event["block_hashes"] = [str(hash) for hash in event["block_hashes"]]
    print(json.dumps([kind, parts[-3].decode(), int.from_bytes(parts[-2], "big"), ts, events, rank]), flush=True)
show("live", sub.recv_multipart())
dealer = context.socket(zmq.DEALER)
dealer.connect(replay)
dealer.send_multipart([b"", int(first).to_bytes(8, "big")])
while True:
    parts = dealer.recv_multipart()
    if parts[-1] == b"":
        print(json.dumps(["end", len(parts), parts[-2].hex()]), flush=True)
        break
    show("replay", parts)
for _ in range(int(count)):
    show("live", sub.recv_multipart())
`;

/** A publisher as vLLM's: PUB and ROUTER of one rank, batches of positional events from python's msgpack. */
const PUBLISHER = `
import sys, zmq, msgpack
layout, target = sys.argv[1:3]
context = zmq.Context()
pub = context.socket(zmq.PUB)
pub.set_hwm(100000)
if target == "bind":
    port = pub.bind_to_random_port("tcp://127.0.0.1")
else:
    pub.connect(target)
    port = 0
router = context.socket(zmq.ROUTER)
replay = router.bind_to_random_port("tcp://127.0.0.1")
print(port, replay, flush=True)
kept, seq = [], 0
poller = zmq.Poller()
poller.register(sys.stdin.fileno(), zmq.POLLIN)
poller.register(router, zmq.POLLIN)
while True:
    ready = dict(poller.poll())
    if router in ready:
        client, _, start = router.recv_multipart()
        for number, payload in kept:
            if number >= int.from_bytes(start, "big"):
                head = [client, b"", b"kv"] if layout == "topic" else [client, b""]
                router.send_multipart(head + [number.to_bytes(8, "big"), payload])
        head = [client, b"", b""] if layout == "topic" else [client, b""]
        router.send_multipart(head + [(2**64 - 1).to_bytes(8, "big"), b""])
    if sys.stdin.fileno() in ready:
        line = sys.stdin.readline()
        if not line:
            break
        event = ["BlockStored", [2**64 - 1 - seq], None, list(range(4)), 4, None, "GPU"]
        payload = msgpack.packb([1.5, [event], 0])
        kept.append((seq, payload))
        if line.strip() == "publish":
            pub.send_multipart([b"kv", seq.to_bytes(8, "big"), payload])
        seq += 1
`;

function python(script: string, ...args: string[]): { child: ChildProcess; lines: AsyncIterator<string> } {
  const child = spawn('/usr/bin/python3', ['-c', script, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const reader: Interface = createInterface({ input: child.stdout! });
  opened.push(async () => {
    if (child.exitCode !== null) return;
    child.kill();
    await once(child, 'exit');
  });
  return { child, lines: reader[Symbol.asyncIterator]() };
}

async function line(lines: AsyncIterator<string>): Promise<unknown> {
  const next = await lines.next();
  if (next.done) throw new Error('python ended early');
  return JSON.parse(next.value);
}

describe.skipIf(realPart('python3-zmq').skip)('against pyzmq', () => {
  const batch = (hash: bigint): EngineEventBatch => ({
    timestampS: 1757500000.25,
    dpRank: 0,
    events: [
      {
        kind: 'stored',
        blockHashes: BigUint64Array.of(hash),
        parentHash: undefined,
        tokenIds: Uint32Array.of(1, 2, 300, 70000),
        blockSize: 4,
        medium: 'GPU',
      },
    ],
  });

  test.each(['topic', 'plain'] as const)('our publisher streams and replays (%s)', async (replayLayout) => {
    const source = new ZmqPublisher({
      endpoint: 'tcp://127.0.0.1:0',
      replayEndpoint: 'tcp://127.0.0.1:0',
      flag: '--kv-events',
      topic: 'kv@w@m',
      replayLayout,
    });
    await source.start();
    opened.push(() => source.stop());
    const encoder = new EventEncoder();
    const hash = 2n ** 64n - 2n;
    for (let i = 0; i < 3; i++) source.publish(encoder.encode(batch(hash)));
    const { lines } = python(CONSUMER, source.endpoint, source.replayEndpoint!, 'kv@', '1', '1');
    const first = line(lines);
    let seen: unknown[] | undefined;
    void first.then((value) => {
      seen = value as unknown[];
    });
    await eventually('an event arrives', () => {
      source.publish(encoder.encode(batch(hash)));
      return seen !== undefined;
    });
    const event = {
      type: 'BlockStored',
      block_hashes: [String(hash)],
      parent_block_hash: null,
      token_ids: [1, 2, 300, 70000],
      block_size: 4,
      lora_id: null,
      medium: 'GPU',
      lora_name: null,
    };
    expect(seen).toEqual(['live', 'kv@w@m', expect.any(Number), 1757500000.25, [event], 0]);
    const topic = replayLayout === 'topic' ? 'kv@w@m' : '';
    for (let seq = 1; ; seq++) {
      const got = (await line(lines)) as unknown[];
      if (got[0] === 'end') {
        expect(got).toEqual(['end', replayLayout === 'topic' ? 4 : 3, 'ffffffffffffffff']);
        expect(seq).toBeGreaterThan(3);
        break;
      }
      expect(got).toEqual(['replay', topic, seq, 1757500000.25, [event], 0]);
    }
  });

  test.each([
    ['topic', 'connect'],
    ['plain', 'connect'],
    ['topic', 'bind'],
  ] as const)('our consumer follows theirs (%s replies, we %s)', async (layout, mode) => {
    const start = (endpoint: string, replayEndpoint?: string): ZmqSubscriber => {
      const made = new ZmqSubscriber({ endpoint, replayEndpoint, flag: '--engine', topic: 'kv' });
      opened.push(() => made.stop());
      return made;
    };
    const received: PublishedBatch[] = [];
    const bound = mode === 'bind' ? start('bind+tcp://127.0.0.1:0') : undefined;
    await bound?.start((got) => received.push(got));
    const { child, lines } = python(PUBLISHER, layout, bound?.endpoint ?? 'bind');
    const [port, replay] = String((await lines.next()).value).split(' ');
    const follower = start(bound?.endpoint ?? `tcp://127.0.0.1:${port}`, `tcp://127.0.0.1:${replay}`);
    if (bound === undefined) await follower.start((got) => received.push(got));
    child.stdin!.write('keep\nkeep\n');
    await eventually('an event arrives', () => {
      child.stdin!.write('publish\n');
      return received.length > 0;
    });
    const decoder = new EventDecoder();
    const hashes = (batches: readonly PublishedBatch[]): (bigint | undefined)[] =>
      batches.map(({ payload }) => {
        const [event] = decoder.decode(payload)!.events;
        return event?.kind === 'stored' ? event.blockHashes[0] : undefined;
      });
    const { seq } = received[0]!;
    expect(seq).toBeGreaterThanOrEqual(2);
    expect(hashes(received.slice(0, 1))).toEqual([2n ** 64n - 1n - BigInt(seq)]);
    const missed: PublishedBatch[] = [];
    const outcome = await follower.replay(0, (got) => missed.push(got));
    expect(outcome.end).toBe('complete');
    expect(missed.map((got) => got.seq)).toEqual(missed.map((_, i) => i));
    expect(missed.length).toBeGreaterThan(seq);
    expect(hashes(missed)).toEqual(missed.map((_, i) => 2n ** 64n - 1n - BigInt(i)));
    child.stdin!.end();
    await once(child, 'exit');
  });
});
