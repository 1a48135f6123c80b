import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { until } from '../../../test/support/until.ts';
import { RealClock } from '../../base/clock.ts';
import { SILENT_LOG } from '../../base/log.ts';
import { connectKubernetes } from './kubernetes-library.ts';
import { KubernetesReflector } from './kubernetes-reflector.ts';

// An API server that takes connections and never answers.
const server = createServer();
const connections = (): Promise<number> =>
  new Promise((resolve) => server.getConnections((_, count) => resolve(count)));
afterEach(() => {
  vi.useRealTimers();
  server.close().closeAllConnections();
});

async function reflect(list: 'hangs' | 'answers') {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const kubeconfig = join(mkdtempSync(join(tmpdir(), 'kvasir-hung-')), 'config');
  const config = {
    clusters: [{ name: 'c', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'u', user: { token: 'secret' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  writeFileSync(kubeconfig, JSON.stringify(config));
  const calls = new AbortController();
  const { library, client, watch } = await connectKubernetes('a test', kubeconfig, calls.signal);
  const api = client(library.DiscoveryV1Api);
  const reflector = new KubernetesReflector({
    clock: new RealClock(),
    log: SILENT_LOG,
    path: '/apis/discovery.k8s.io/v1/namespaces/n/endpointslices',
    labelSelector: 'a=b',
    onChange: () => {},
    watch,
    list: async () =>
      list === 'answers'
        ? { items: [], metadata: { resourceVersion: '7' } }
        : api.listNamespacedEndpointSlice({ namespace: 'n' }),
  });
  reflector.start();
  const stop = (): Promise<void> => {
    const stopped = reflector.stop();
    calls.abort();
    return stopped;
  };
  return { reflector, stop };
}

test.each(['hangs', 'answers'] as const)(
  'whoever wants to stop is not held up (its list %s)',
  async (list) => {
    const { stop } = await reflect(list);
    await until(async () => (await connections()) === 1);
    await stop();
    await until(async () => (await connections()) === 0);
  },
);

test('a watch that is not answered is given up, with its connection', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const { reflector, stop } = await reflect('answers');
  while ((await connections()) === 0) await new Promise(setImmediate);
  expect(reflector.ok).toBe(true);
  vi.advanceTimersByTime(30_000);
  vi.useRealTimers();
  await until(() => !reflector.ok);
  expect(reflector.reason).toBe('no answer to a watch within 30 s');
  await until(async () => (await connections()) === 0);
  await stop();
});
