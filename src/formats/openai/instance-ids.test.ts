import { describe, expect, test } from 'vitest';
import { wholeInstanceIds } from './instance-ids.ts';

const read = (text: string): unknown => wholeInstanceIds(JSON.parse(text), Buffer.from(text));

describe('worker ids in a body', () => {
  test.each([
    [
      '{"nvext":{"backend_instance_id":17046939228301554673}}',
      { backend_instance_id: '17046939228301554673' },
    ],
    [
      '{"seed":9,"nvext":{"decode_worker_id":9007199254740993,"dp_rank":1}}',
      { decode_worker_id: '9007199254740993', dp_rank: 1 },
    ],
    [
      '{"nvext":{"prefill_worker_id":12,"x":90071992547409931}}',
      { prefill_worker_id: 12, x: Number('90071992547409931') },
    ],
    ['{"nvext":{"decode_worker_id":"18446744073709551615"}}', { decode_worker_id: '18446744073709551615' }],
    ['{"nvext":{"decode_worker_id":-17046939228301554673}}', { decode_worker_id: '-17046939228301554673' }],
    ['{"nvext":null}', null],
    ['{}', undefined],
  ])('of %s are whole', (text, nvext) => {
    expect((read(text) as { nvext?: unknown }).nvext).toEqual(nvext);
  });

  test('leave bodies without any as they are', () => {
    const body = { nvext: { backend_instance_id: 4 }, prompt: 'x' };
    expect(wholeInstanceIds(body, Buffer.from(JSON.stringify(body)))).toBe(body);
    expect(wholeInstanceIds([], Buffer.from('[]'))).toEqual([]);
  });
});
