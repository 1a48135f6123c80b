import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { DialectName } from './dialects.ts';
import type { EngineEvent } from './engine-event.ts';
import { EventDecoder } from './event-decoder.ts';
import { EventEncoder } from './event-encoder.ts';
import { tierOfMedium } from './medium-tier.ts';

interface Frame {
  readonly id: string;
  readonly hex: string;
  readonly normalised: { readonly ts: number; readonly dpRank: number | null; readonly events: object[] };
}

const golden = new URL('../../../test/golden/kv-events/', import.meta.url);
const { frames } = JSON.parse(readFileSync(new URL('frames.json', golden), 'utf8')) as { frames: Frame[] };

/** Which dialect writes each frame. The frames of bytes hold digests that a u64 cannot give back. */
const DIALECT_OF: Readonly<Record<string, DialectName>> = {
  'vllm-a-stored': 'vllm-0.9',
  'vllm-a-removed': 'vllm-0.9',
  'vllm-b-stored-chain': 'vllm-0.10',
  'vllm-b-stored-signed': 'vllm-0.10-signed',
  'vllm-b-removed-nulldp': 'vllm-0.10',
  'vllm-c-stored-lora': 'vllm-0.14',
  'vllm-d-stored-extrakeys': 'vllm-0.17',
  'vllm-d-stored-mm': 'vllm-0.17',
  'vllm-e-stored-group': 'vllm-0.18',
  'vllm-e-removed-group': 'vllm-0.18',
  'vllm-f-stored-full': 'vllm-0.21',
  'vllm-f-stored-swa': 'vllm-0.21',
  'vllm-f-mixed': 'vllm-0.21',
  'vllm-g-map-stored': 'vllm-0.24',
  'vllm-g-map-removed': 'vllm-0.24',
  'vllm-g-map-cleared': 'vllm-0.24',
  'vllm-h-map-locality': 'vllm-0.26',
  'vllm-i-map-session': 'vllm-main',
  'vllm-x-map-batch': 'vllm-map-batch',
  'sglang-a-stored': 'sglang-2025',
  'sglang-b-stored': 'sglang-medium',
  'sglang-c-map': 'sglang-map',
  'trtllm-zmq': 'trtllm',
};
const GOLDEN_TIERS: Readonly<Record<string, string>> = { host_pinned: 'host' };

function normalise(event: EngineEvent): object {
  if (event.kind === 'cleared') return { type: 'cleared' };
  const tier = tierOfMedium(event.medium);
  const shared = {
    type: event.kind,
    hashes: [...event.blockHashes].map(String),
    medium: event.medium ?? null,
    tier: tier && (GOLDEN_TIERS[tier] ?? tier),
    groupIdx: event.groupIdx ?? null,
    locality: event.locality ?? null,
  };
  if (event.kind === 'removed') return shared;
  return {
    ...shared,
    parent: event.parentHash?.toString() ?? null,
    tokens: [...event.tokenIds],
    blockSize: event.blockSize,
    loraId: event.loraId ?? null,
    loraName: event.loraName ?? null,
    extraKeys: event.extraKeys ?? null,
    specKind: event.kvCacheSpecKind ?? null,
    slidingWindow: event.slidingWindow ?? null,
    cacheSalt: event.cacheSalt ?? null,
    sessionId: event.sessionId ?? null,
  };
}

describe('the frames of every engine version', () => {
  test('are all 26 there', () => {
    expect(frames).toHaveLength(26);
  });

  test.each(frames.map((frame) => [frame.id, frame] as const))('%s decodes to its meaning', (_, frame) => {
    const decoder = new EventDecoder();
    const batch = decoder.decode(Buffer.from(frame.hex, 'hex'));
    expect({
      ts: batch?.timestampS,
      dpRank: batch?.dpRank ?? null,
      events: batch?.events.map(normalise),
    }).toEqual(frame.normalised);
    expect(Object.values(decoder.counts.rejected).every((count) => count === 0)).toBe(true);
  });

  test.each(Object.entries(DIALECT_OF))('%s is written byte for byte by %s', (id, dialect) => {
    const frame = frames.find((candidate) => candidate.id === id)!;
    const batch = new EventDecoder().decode(Buffer.from(frame.hex, 'hex'))!;
    expect(Buffer.from(new EventEncoder(dialect).encode(batch)).toString('hex')).toBe(frame.hex);
  });

  test('of TensorRT-LLM keep their multimodal infos, hashes whole', () => {
    const frame = frames.find((candidate) => candidate.id === 'trtllm-zmq')!;
    const [event] = new EventDecoder().decode(Buffer.from(frame.hex, 'hex'))!.events;
    expect(event).toMatchObject({
      blockMmInfos: [{ mm_objects: [{ mm_hash: 81985529216486895n, offsets: [] }] }, null],
    });
  });

  test('of llm-d-inference-sim are written with nine-byte hashes and parent 0', () => {
    const frame = frames.find((candidate) => candidate.id === 'llmd-sim-array')!;
    const batch = new EventDecoder().decode(Buffer.from(frame.hex, 'hex'))!;
    const written = Buffer.from(new EventEncoder('llm-d-sim').encode(batch)).toString('hex');
    expect(written).toBe(frame.hex.replace(/(cf0102030405060708)00/, '$1cf0000000000000000'));
  });
});
