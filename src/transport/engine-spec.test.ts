import { describe, expect, test } from 'vitest';
import { HashKernel } from '../kernels/hash-kernel.ts';
import { normaliseUrl, parseEngineSpec, workerIdOf } from './engine-spec.ts';

describe('an engine spec', () => {
  test('may be an address alone', () => {
    expect(parseEngineSpec(' http://Engine-1:8000/v1/ ')).toEqual({ url: 'http://engine-1:8000' });
  });

  test('holds every fact that a person may give', () => {
    const text =
      'http://10.0.0.1:8000,kv-events=bind+tcp://*:5557,replay=tcp://10.0.0.1:6557,model=a/b,tokenizer=/t.json,block-size=16,role=prefill,dp=4,kind=vllm';
    expect(parseEngineSpec(text)).toEqual({
      url: 'http://10.0.0.1:8000',
      kvEvents: 'bind+tcp://*:5557',
      replay: 'tcp://10.0.0.1:6557',
      model: 'a/b',
      tokenizer: '/t.json',
      blockSize: 16,
      role: 'prefill',
      dpSize: 4,
      kind: 'vllm',
    });
  });

  test.each([
    ['localhost:8000', '--engine: "localhost:8000" has the scheme localhost', 'Write http://HOST:PORT.'],
    ['', '--engine: "" is not a URL', 'Write http://HOST:PORT.'],
    [
      'http://u:p@h:1',
      '--engine: "http://u:p@h:1" holds credentials',
      'Leave them out: settings are logged.',
    ],
    ['http://h:1,blocksize=3', '"blocksize=3" has the unknown key "blocksize"', 'Did you mean block-size?'],
    ['http://h:1,block-size=0', '"block-size=0" is not a positive whole number', 'Give 1 or more.'],
    ['http://h:1,dp=two', '"dp=two" is not a positive whole number', 'Give 1 or more.'],
    [
      'http://h:1,role=leader',
      '"role=leader" is not one of its values',
      'Choose from prefill, decode, both.',
    ],
    ['http://h:1,model', '"model" has no value', 'Write model=VALUE.'],
    ['http://h:1,kv-events=h:5557', '"kv-events=h:5557" is not a ZMQ address', 'Write tcp://HOST:PORT'],
  ])('is refused with what is wrong and how to mend it: %s', (text, message, mend) => {
    try {
      parseEngineSpec(text);
      expect.unreachable();
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'KV_SETTING_INVALID' });
      expect((thrown as Error).message).toContain(message);
      expect((thrown as { hint: string }).hint).toContain(mend);
    }
  });
});

describe('a worker id', () => {
  test('is the xxh3-64 of the normalised URL, the same for all its spellings', () => {
    const kernel = new HashKernel();
    const refuse = (reason: string): Error => new Error(reason);
    const spellings = ['http://h:80', 'http://H/', 'http://h/v1', 'HTTP://h:80/v1/'];
    const ids = spellings.map((text) =>
      workerIdOf(normaliseUrl(text, refuse), (bytes, seed) => kernel.hashBytes(bytes, seed)),
    );
    expect(new Set(ids).size).toBe(1);
    expect(ids[0]).toMatch(/^\d{10,20}$/);
  });
});
