import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { advertisedUrl } from './advertised-url.ts';
import { bareInstance, type WorkerInstance } from './discovery.ts';
import { readInstanceRecord, writeInstanceRecord } from './instance-record.ts';

const INSTANCE: WorkerInstance = {
  ...bareInstance('18446744073709551615', 'http://h:9001'),
  models: ['m', 'alias'],
  loras: ['l'],
  kind: 'vllm',
  role: 'prefill',
  blockSize: 16,
  dpSize: 4,
  kvEvents: 'nats:namespace.x.kv_events.1',
  snapshot: 'http://h:9001/kv/snapshot',
  totalKvBlocks: 1000,
  tokenizer: 'byte',
};

describe('the record of an instance', () => {
  test('is read as it was written', () => {
    const record = { instance: INSTANCE, leaseMs: 10_000 };
    expect(readInstanceRecord(writeInstanceRecord(record))).toEqual(record);
  });

  test('is none without an id, an address and a lease, and loses facts that make no sense', () => {
    const written = JSON.parse(writeInstanceRecord({ instance: INSTANCE, leaseMs: 1 })) as object;
    const changed = (changes: object) => readInstanceRecord(JSON.stringify({ ...written, ...changes }));
    for (const wrong of [
      { workerId: 'x' },
      { workerId: 7 },
      { url: 'ftp://h' },
      { url: 'http://' },
      { leaseMs: 0 },
    ])
      expect(changed(wrong)).toBeUndefined();
    expect(changed({ version: 2 })).toBeUndefined();
    const odd = { kind: 'new', role: 1, blockSize: -1, models: ['m', 3], dpSize: 1e9, unknown: 1 };
    expect(changed(odd)?.instance).toEqual({
      ...INSTANCE,
      kind: 'openai',
      role: 'both',
      blockSize: undefined,
      models: ['m'],
      dpSize: 1024,
    });
    fc.assert(fc.property(fc.string(), (source) => readInstanceRecord(source) === undefined));
  });
});

test('an address is advertised with the host given, or the name of the machine when it is all addresses', () => {
  expect(advertisedUrl('http://127.0.0.1:9001', undefined)).toBe('http://127.0.0.1:9001');
  expect(advertisedUrl('http://0.0.0.0:9001', 'pod-1.svc')).toBe('http://pod-1.svc:9001');
  expect(advertisedUrl('http://[::]:9001', undefined)).not.toContain('[::]');
});
