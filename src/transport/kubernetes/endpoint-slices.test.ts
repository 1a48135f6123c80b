import { describe, expect, test } from 'vitest';
import { enginesOf } from './endpoint-slices.ts';

const PORTS = { api: 'http', kvEvents: 'kv-events', replay: 'kv-replay' };
const LABELS = { 'kvasir-engine': 'true', 'kubernetes.io/service-name': 's' };

function slice(changes: object): never {
  return {
    metadata: { name: 's-1', labels: LABELS },
    addressType: 'IPv4',
    ports: [
      { name: 'metrics', port: 9090 },
      { name: 'http', port: 8000 },
    ],
    endpoints: [],
    ...changes,
  } as never;
}

function urls(slices: never[], problems: string[] = []): string[] {
  return [...enginesOf(slices, PORTS, (_, reason) => problems.push(reason)).keys()];
}

describe('engines of EndpointSlices', () => {
  test('are the ready endpoints, and those of which nobody says that they are not', () => {
    const endpoints = [
      { addresses: ['10.0.0.1'], conditions: { ready: true } },
      { addresses: ['10.0.0.2'], conditions: { ready: false, serving: true, terminating: true } },
      { addresses: ['10.0.0.3'], conditions: {} },
      { addresses: ['10.0.0.4'] },
    ];
    expect(urls([slice({ endpoints })])).toEqual([
      'http://10.0.0.1:8000',
      'http://10.0.0.3:8000',
      'http://10.0.0.4:8000',
    ]);
  });

  test('have what ports and labels of their service say', () => {
    const ports = [
      { name: 'http', port: 8000 },
      { name: 'kv-events', port: 5557 },
      { name: 'kv-replay', port: 6557 },
    ];
    const labels = { ...LABELS, 'kvasir-role': 'prefill', 'kvasir-block-size': '16', 'kvasir-kind': 'vllm' };
    const endpoints = [{ addresses: ['10.0.0.1'], targetRef: { uid: 'pod-1' } }];
    const found = enginesOf([slice({ ports, endpoints, metadata: { name: 's', labels } })], PORTS, () => {});
    expect([...found.values()]).toEqual([
      {
        identity: 'pod-1',
        spec: {
          url: 'http://10.0.0.1:8000',
          kvEvents: 'tcp://10.0.0.1:5557',
          replay: 'tcp://10.0.0.1:6557',
          role: 'prefill',
          blockSize: 16,
          kind: 'vllm',
        },
      },
    ]);
  });

  test('are left out when they end, even of a service that calls them ready all the same', () => {
    const ending = { ready: true, serving: true, terminating: true };
    const endpoints = [{ addresses: ['10.0.0.1'], conditions: ending }, { addresses: ['10.0.0.2'] }];
    expect(urls([slice({ endpoints })])).toEqual(['http://10.0.0.2:8000']);
  });

  test('count once, whatever slices and address families name their pod', () => {
    const pod = (address: string) => [{ addresses: [address], targetRef: { uid: 'pod-1' } }];
    const six = slice({ addressType: 'IPv6', endpoints: pod('fd00::1'), metadata: { name: 'a' } });
    expect(urls([six, slice({ endpoints: pod('10.0.0.1') }), slice({ endpoints: pod('10.0.0.1') })])).toEqual(
      ['http://10.0.0.1:8000'],
    );
    expect(urls([six])).toEqual(['http://[fd00::1]:8000']);
  });

  test('need a port: the named one, a number, or the only one', () => {
    const endpoints = [{ addresses: ['10.0.0.1'] }];
    const problems: string[] = [];
    const two = [
      { name: 'x', port: 1 },
      { name: 'y', port: 2 },
    ];
    expect(urls([slice({ endpoints, ports: [{ name: 'x', port: 7 }] })])).toEqual(['http://10.0.0.1:7']);
    expect(urls([slice({ endpoints, ports: two })], problems)).toEqual([]);
    expect(urls([slice({ endpoints, addressType: 'FQDN' })], problems)).toEqual([]);
    const labels = { 'kvasir-role': 'cook' };
    expect(urls([slice({ endpoints, metadata: { name: 's', labels } })], problems)).toEqual([]);
    expect(problems).toEqual([
      'it has no port named http',
      'its addresses are host names',
      expect.stringContaining('labels of s'),
    ]);
    const byNumber = enginesOf([slice({ endpoints, ports: two })], { ...PORTS, api: '9001' }, () => {});
    expect([...byNumber.keys()]).toEqual(['http://10.0.0.1:9001']);
  });
});
