import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { HttpClient } from '../transport/http-client.ts';
import { prometheusApi } from '../transport/prometheus-api.ts';
import { collectedTable } from './collected-table.ts';
import { type Collected, collect } from './collector.ts';
import { coreMetricsOnly } from './config.ts';

const client = new HttpClient({ connectTimeoutMs: 1000 });
let server: Server | undefined;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = undefined;
});

async function collectFrom(
  answer: (response: ServerResponse) => void,
  deadlineMs = 5000,
): Promise<Collected> {
  server = createServer((_, response) => answer(response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return collectAt(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, deadlineMs);
}

function collectAt(url: string, deadlineMs = 5000): Promise<Collected> {
  const api = prometheusApi(client, url, deadlineMs);
  return collect(coreMetricsOnly(url), { api, deadlineMs, nowS: () => 1000 });
}

const send = (status: number, type: string, body: string) => (response: ServerResponse) =>
  void response.writeHead(status, { 'content-type': type }).end(body);

describe('collecting from a Prometheus that', () => {
  test.each([
    [
      'answers with a page',
      send(200, 'text/html', '<html>log in</html>'),
      'KV_PROMETHEUS_UNREACHABLE',
      /answered 200, and not as Prometheus/,
    ],
    [
      'stands behind a broken gateway',
      send(502, 'text/html', 'bad gateway'),
      'KV_PROMETHEUS_UNREACHABLE',
      /answered 502, and not as Prometheus/,
    ],
    ['answers nothing', send(200, 'text/plain', ''), 'KV_PROMETHEUS_UNREACHABLE', /answered 200, and not/],
    [
      'cuts its answers off',
      (response: ServerResponse) => void response.socket?.destroy(),
      'KV_PROMETHEUS_UNREACHABLE',
      /closed the connection/,
    ],
    [
      'refuses',
      send(422, 'application/json', '{"status":"error","error":"too many samples"}'),
      'KV_PROMETHEUS_REFUSED',
      /refused .*too many samples/,
    ],
  ])('%s', async (_, answer, code, message) => {
    const { faults, core } = await collectFrom(answer);
    expect(new Set(faults.map((fault) => fault.code))).toEqual(new Set([code]));
    expect(faults.every((fault) => message.test(fault.message))).toBe(true);
    expect(core.kv_efficiency).toBeNull();
  });

  test('is silent, within the deadline', async () => {
    const { faults } = await collectFrom(() => {}, 100);
    expect(faults.length).toBeGreaterThan(5);
    for (const { message } of faults) expect(message).toMatch(/100 ms|cannot be reached/);
  });

  test('is away, which is said once', async () => {
    const result = await collectAt('http://127.0.0.1:1');
    const said = collectedTable(result).filter((line) => line.startsWith('!'));
    expect(said).toEqual([
      `! ${result.faults.length} metrics: Prometheus http://127.0.0.1:1 cannot be reached: connection refused`,
    ]);
  });

  test('knows nothing, which is no fault', async () => {
    const empty = '{"status":"success","data":{"resultType":"matrix","result":[]}}';
    const { faults, core } = await collectFrom(send(200, 'application/json', empty));
    expect(faults).toEqual([]);
    expect(core.complete).toBe(false);
  });
});
