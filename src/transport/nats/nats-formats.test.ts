import { describe, expect, test } from 'vitest';
import { packBatch, unpackPayload, unpackSeq } from './batch-message.ts';
import { readLoad, writeLoad } from './load-reports.ts';
import { parseNatsServers } from './nats-servers.ts';
import { instanceKey, kvEventsSubject, loadSubject, replicaInbox, replicaSubject } from './subjects.ts';

describe('servers of NATS', () => {
  test('are read with their ports, user and password, or token', () => {
    expect(parseNatsServers('nats://a:4333, b')).toEqual({ servers: ['a:4333', 'b:4222'], tls: false });
    expect(parseNatsServers('nats://u%40x:p%3A@a')).toMatchObject({ user: 'u@x', pass: 'p:' });
    expect(parseNatsServers('tls://secret@a:1')).toEqual({ servers: ['a:1'], tls: true, token: 'secret' });
  });

  test('are refused with a mend, without repeating a password', () => {
    expect(() => parseNatsServers('nats://u:s3cret%zz@h')).toThrow(/^(?!.*s3cret).*a % that begins/);
    expect(() => parseNatsServers('')).toThrow('names no server');
    expect(() => parseNatsServers('http://a:1')).toThrow('http://a:1 has the scheme http');
    expect(() => parseNatsServers('nats://u:secret@a:port')).toThrow('one of the servers is not a URL');
  });
});

test('a load keeps ids beyond 2^53 as bare numbers, and reads them as text or number', () => {
  const load = {
    workerId: '18446744073709551615',
    dpRank: 2,
    kvUsedBlocks: 7,
    activeDecodeBlocks: undefined,
    activePrefillTokens: 0,
  };
  const written = writeLoad(load);
  expect(written).toBe(
    '{"worker_id":18446744073709551615,"dp_rank":2,"kv_used_blocks":7,"active_prefill_tokens":0}',
  );
  expect(readLoad(written)).toEqual(load);
  expect(readLoad(written.replace('18446744073709551615', '"12"'))?.workerId).toBe('12');
  for (const wrong of ['', '{}', '{"worker_id":-1}', '{"worker_id":1,', '[1]'])
    expect(readLoad(wrong)).toBeUndefined();
});

test('a batch travels with its number', () => {
  const message = packBatch(2 ** 40, Uint8Array.of(1, 2, 3));
  expect([unpackSeq(message), unpackPayload(message)]).toEqual([2 ** 40, Uint8Array.of(1, 2, 3)]);
  expect(unpackSeq(message.subarray(0, 7))).toBeUndefined();
});

test('names become tokens of subjects', () => {
  expect(kvEventsSubject('dynamo', 'back.end', '7')).toBe('namespace.dynamo.component.back-end.kv_events.7');
  expect(loadSubject('dynamo')).toBe('namespace.dynamo.component.*.kv_metrics');
  expect(instanceKey('a b', '7')).toBe('instances.a-b.7');
  const subject = replicaSubject('dynamo', 'org/model/decode/16');
  expect(replicaInbox(subject, 'r>1')).toBe(
    'namespace.dynamo.active_sequences_events.org-model-decode-16.to.r-1',
  );
});
