import { createServer, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { until } from '../../test/support/until.ts';
import { RealClock } from '../base/clock.ts';
import { HttpClient } from './http-client.ts';
import { Relay, type RelayListener, type RelayOutcome, type RelayRequest } from './relay.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function upstream(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function startRelay(url: string, listener: Partial<RelayListener> = {}, request: Partial<RelayRequest> = {}) {
  const client = new HttpClient({ connectTimeoutMs: 1000 });
  cleanups.push(() => client.stop());
  let text = '';
  const relay = new Relay(
    {
      pool: client.pool(url),
      path: '/v1/completions',
      headers: { 'content-type': 'application/json' },
      body: '{"x":1}',
      headersTimeoutMs: 5000,
      idleTimeoutMs: 5000,
      ...request,
    },
    {
      begin: () => {},
      data: (bytes) => {
        text += bytes.toString();
        return true;
      },
      ...listener,
    },
    new RealClock(),
  );
  return { relay, text: () => text };
}

const stream = (response: ServerResponse): ServerResponse =>
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });

describe('a relay', () => {
  test('sends the body and passes an event stream on', async () => {
    let got = '';
    const url = await upstream((request, response) => {
      request.on('data', (data) => {
        got += data;
      });
      request.on('end', () => {
        stream(response).write('data: 1\n\n');
        response.end('data: [DONE]\n\n');
      });
    });
    const began: unknown[] = [];
    const { relay, text } = startRelay(url, { begin: (headers) => began.push(headers['content-type']) });
    expect(await relay.outcome).toEqual({ kind: 'streamed' });
    expect(got).toBe('{"x":1}');
    expect(text()).toBe('data: 1\n\ndata: [DONE]\n\n');
    expect(began).toEqual(['text/event-stream; charset=utf-8']);
  });

  test.each([200, 404, 500])('gives an answer of status %d that is no stream as a whole', async (status) => {
    const url = await upstream((_request, response) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end('{"error":"é"}');
    });
    const { relay } = startRelay(url);
    const outcome = (await relay.outcome) as Extract<RelayOutcome, { kind: 'answered' }>;
    expect(outcome).toMatchObject({
      kind: 'answered',
      status,
      headers: { 'content-type': 'application/json' },
    });
    expect(outcome.body.toString()).toBe('{"error":"é"}');
  });

  test('refuses to hold an answer beyond its limit', async () => {
    const url = await upstream((_request, response) => void response.end('x'.repeat(1000)));
    const { relay } = startRelay(url, {}, { maxAnswerBytes: 100 });
    expect(await relay.outcome).toEqual({ kind: 'broke', reason: 'its answer exceeds 100 bytes' });
  });

  test('tells when nobody listens at the address', async () => {
    const { relay } = startRelay('http://127.0.0.1:9');
    expect(await relay.outcome).toEqual({ kind: 'broke', reason: 'connection refused' });
  });

  test('tells when the engine dies, before its first byte or in its stream', async () => {
    const silent = await upstream((request) => void request.socket.destroy());
    expect(await startRelay(silent).relay.outcome).toMatchObject({ kind: 'broke' });
    const broken = await upstream((_request, response) => {
      stream(response).write('data: 1\n\n');
      setImmediate(() => response.socket?.destroy());
    });
    const { relay, text } = startRelay(broken);
    expect(await relay.outcome).toEqual({ kind: 'broke', reason: 'it closed the connection' });
    expect(text()).toBe('data: 1\n\n');
  });

  test('gives up an engine that does not answer, or falls silent', async () => {
    const mute = await upstream(() => {});
    expect(await startRelay(mute, {}, { headersTimeoutMs: 40 }).relay.outcome).toEqual({
      kind: 'timeout',
      waiting: 'headers',
      afterMs: 40,
    });
    const stalled = await upstream((_request, response) => void stream(response).write('data: 1\n\n'));
    expect(await startRelay(stalled, {}, { idleTimeoutMs: 40 }).relay.outcome).toEqual({
      kind: 'timeout',
      waiting: 'data',
      afterMs: 40,
    });
  });

  test('does not give up an engine that is slow but steady', async () => {
    const url = await upstream((_request, response) => {
      stream(response).write(':\n\n');
      let left = 8;
      const timer = setInterval(() => {
        if (left-- > 0) return void response.write('data: 1\n\n');
        clearInterval(timer);
        response.end();
      }, 100);
    });
    expect(await startRelay(url, {}, { idleTimeoutMs: 600 }).relay.outcome).toEqual({ kind: 'streamed' });
  });

  test('cancels at the engine too, before and during its answer', async () => {
    let closed = 0;
    const url = await upstream((request, response) => {
      response.on('close', () => closed++);
      if (request.headers['x-mute'] === undefined) stream(response).write('data: 1\n\n');
    });
    const streaming = startRelay(url);
    await until(() => streaming.text() !== '');
    streaming.relay.cancel();
    expect(await streaming.relay.outcome).toEqual({ kind: 'cancelled' });
    const mute = startRelay(url, {}, { headers: { 'x-mute': '1' } });
    mute.relay.cancel();
    expect(await mute.relay.outcome).toEqual({ kind: 'cancelled' });
    await until(() => closed >= 1);
  });

  test.each(['dies', 'ends', 'never ends'])(
    'is over once its listener has all, when the engine then %s',
    async (how) => {
      let closed = false;
      const url = await upstream((_request, response) => {
        response.on('close', () => {
          closed = true;
        });
        stream(response).write('data: [DONE]\n\n');
        if (how === 'dies') setTimeout(() => response.socket?.destroy(), 5);
        if (how === 'ends') setTimeout(() => response.end(), 5);
      });
      const started = startRelay(
        url,
        {
          data: () => {
            started.relay.complete();
            return false;
          },
        },
        { idleTimeoutMs: 60 },
      );
      expect(await started.relay.outcome).toEqual({ kind: 'streamed' });
      expect(closed).toBe(false);
      await until(() => closed);
    },
  );

  test('reads no faster than its listener, then goes on, and blames the client that never reads', async () => {
    const piece = Buffer.alloc(256 * 1024, 'x');
    let written = 0;
    const url = await upstream((_request, response) => {
      stream(response);
      const more = (): void => {
        while (written < 200) {
          written++;
          if (!response.write(piece)) return void response.once('drain', more);
        }
        response.end();
      };
      more();
    });
    let calls = 0;
    let bytes = 0;
    const { relay } = startRelay(url, {
      data: (data) => {
        calls++;
        bytes += data.length;
        return false;
      },
    });
    await until(() => calls === 1);
    const atPause = written;
    expect(atPause).toBeLessThan(200);
    const pump = setInterval(() => relay.resume(), 0);
    expect(await relay.outcome).toEqual({ kind: 'streamed' });
    clearInterval(pump);
    expect(bytes).toBe(200 * piece.length);
    written = 0;
    const unread = startRelay(url, { data: () => false }, { idleTimeoutMs: 50 });
    expect(await unread.relay.outcome).toEqual({ kind: 'timeout', waiting: 'client', afterMs: 50 });
  });
});
