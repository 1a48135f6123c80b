import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KubernetesApi } from '../support/kubernetes-api.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { eventually } from '../support/until.ts';

const LABELS = { 'kvasir-engine': 'true' };

interface Health {
  readonly status: string;
  readonly discovery: { readonly kind: string; readonly ok: boolean; readonly detail: string };
  readonly instances?: readonly { readonly url: string; readonly role: string }[];
}

describe('a frontend in Kubernetes', () => {
  const api = new KubernetesApi();
  const processes: KvasirProcess[] = [];
  const engines: { readonly url: string; readonly port: number; readonly kvEvents: number }[] = [];
  let frontend = '';

  const start = async (...args: readonly string[]): Promise<Record<string, string>> => {
    const process = new KvasirProcess(args, { DYN_DISCOVERY_BACKEND: 'static' });
    processes.push(process);
    return (await process.json()) as Record<string, string>;
  };
  const health = async (): Promise<Health> => (await (await fetch(`${frontend}/health`)).json()) as Health;
  const urls = async (): Promise<string[]> => ((await health()).instances ?? []).map(({ url }) => url).sort();
  const shows = (what: string, ...expected: readonly string[]) =>
    eventually(what, async () => JSON.stringify(await urls()) === JSON.stringify([...expected].sort()));
  /** As each engine listens on this machine, each has a slice of its own, with its port. */
  const slice = (engine: number, ready: boolean, uid = `pod-${engine}`, labels: object = LABELS) => ({
    metadata: { name: `engines-${engine}`, labels },
    addressType: 'IPv4',
    ports: [
      { name: 'http', port: engines[engine]!.port },
      { name: 'kv-events', port: engines[engine]!.kvEvents },
    ],
    endpoints: [{ addresses: ['127.0.0.1'], conditions: { ready }, targetRef: { kind: 'Pod', uid } }],
  });

  beforeAll(async () => {
    const kubeconfig = await api.start();
    const worker = () => start('worker', '--http-port', '0', '--kv-events', 'tcp://127.0.0.1:0');
    for (const { url, kvEvents } of await Promise.all([worker(), worker()]))
      engines.push({
        url: url!,
        port: Number(new URL(url!).port),
        kvEvents: Number(kvEvents!.split(':').at(-1)),
      });
    const flags = ['--discovery', 'kubernetes', '--kube-namespace', 'serving', '--kubeconfig', kubeconfig];
    frontend = (await start('frontend', '--http-port', '0', ...flags)).url!;
  });
  afterAll(async () => {
    for (const process of processes) await process.kill();
    await api.stop();
  });

  test('waits for endpoints and takes in those that are ready, of services that carry the label', async () => {
    await eventually('the first list', async () => (await health()).discovery.ok);
    expect(await health()).toMatchObject({ status: 'not_ready', discovery: { kind: 'kubernetes' } });
    expect(api.requests).toContain('GET /apis/discovery.k8s.io/v1/namespaces/serving/endpointslices');
    api.slices.put(slice(0, false));
    api.slices.put(slice(1, true, 'pod-1', {}));
    api.slices.put({ ...slice(0, true), metadata: { name: 'a', labels: LABELS } });
    await shows('the first engine', engines[0]!.url);
    const body = { model: 'kvasir-sim', prompt: 'x'.repeat(256), max_tokens: 2 };
    const headers = { 'content-type': 'application/json' };
    const request = { method: 'POST', headers, body: JSON.stringify(body) };
    expect((await fetch(`${frontend}/v1/completions`, request)).status).toBe(200);
    await eventually('its events', async () =>
      (await (await fetch(`${frontend}/metrics`)).text()).includes('state="exact"'),
    );
    api.slices.delete('a');
    await shows('nobody');
  });

  test('follows changes across broken watches, their ends, bookmarks, and a history that is gone', async () => {
    api.slices.put(slice(0, true));
    await shows('the first', engines[0]!.url);
    api.slices.disconnect();
    api.slices.put(slice(1, true));
    await shows('what came while the watch was broken', engines[0]!.url, engines[1]!.url);
    const { lists } = api.slices;
    api.slices.bookmark();
    api.slices.endWatches();
    api.slices.put(slice(0, false));
    await shows('what came after the watch had ended', engines[1]!.url);
    expect(api.slices.lists).toBe(lists);
    api.slices.delete('engines-1');
    api.slices.put(slice(0, true, 'pod-0b'));
    api.slices.compact();
    await shows('what a new list tells', engines[0]!.url);
    await eventually('the new list', async () => api.slices.lists > lists);
  });

  test('says why when it may not look', async () => {
    const closed = new KubernetesApi({ forbidden: ['list endpointslices'] });
    try {
      const kubeconfig = await closed.start();
      const flags = ['--discovery', 'kubernetes', '--kubeconfig', kubeconfig];
      const { url } = await start('frontend', '--http-port', '0', ...flags);
      await eventually('the refusal', async () => {
        const { discovery } = (await (await fetch(`${url}/health`)).json()) as Health;
        return !discovery.ok && discovery.detail.includes('forbidden');
      });
    } finally {
      await closed.stop();
    }
  });
});
