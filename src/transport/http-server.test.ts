import { connect } from 'node:net';
import { brotliCompressSync, deflateSync, gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { until } from '../../test/support/until.ts';
import { fail } from '../base/errors.ts';
import { SILENT_LOG } from '../base/log.ts';
import { HttpServer, type HttpServerOptions } from './http-server.ts';
import { serveMetrics } from './http-server-metrics.ts';
import { EventStream } from './http-server-sse.ts';

const servers: HttpServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop(0)));
});

function makeServer(options: Partial<HttpServerOptions> = {}): HttpServer {
  const server = new HttpServer({
    host: '127.0.0.1',
    port: 0,
    portFlag: '--http-port',
    log: SILENT_LOG,
    ...options,
  });
  servers.push(server);
  return server;
}

/** Sends raw bytes and gives all that comes back until the peer closes. */
function exchange(url: string, bytes: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    let answer = '';
    socket.on('data', (data) => {
      answer += data.toString();
    });
    socket.on('close', () => resolve(answer)).on('error', reject);
  });
}

describe('the HTTP server', () => {
  async function echo(): Promise<string> {
    const server = makeServer({ maxBodyBytes: 200 });
    server.app.post('/echo', async (request) => ({ body: request.body, bytes: request.rawBody?.length }));
    server.app.get('/things/:id', async () => ({}));
    server.app.delete('/things/:id', async () => ({}));
    server.app.get('/broken', async () => {
      throw new TypeError('a defect');
    });
    server.app.get('/refused', async () => {
      throw fail('KV_OVERLOADED', { reason: 'x' });
    });
    return await server.start();
  }

  test('parses JSON bodies and keeps their bytes', async () => {
    const url = await echo();
    const response = await fetch(`${url}/echo`, {
      method: 'POST',
      headers: { 'content-type': 'application/json; charset=utf-8' },
      body: '{"a":"é"}',
    });
    expect(await response.json()).toEqual({ body: { a: 'é' }, bytes: 10 });
  });

  const json = { 'content-type': 'application/json' };

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['BR', brotliCompressSync],
  ] as const)('takes bodies as %s', async (encoding, compress) => {
    const headers = { ...json, 'content-encoding': encoding };
    const url = await echo();
    const response = await fetch(`${url}/echo`, { method: 'POST', headers, body: compress('{"a":"é"}') });
    expect(await response.json()).toEqual({ body: { a: 'é' }, bytes: 10 });
  });
  test.each([
    ['POST', '/echo', json, '{"a":', 400, 'BadRequestError', /^Validation: the body is not valid JSON: /],
    [
      'POST',
      '/echo',
      json,
      '',
      400,
      'BadRequestError',
      /^Validation: the body is empty\. Send a JSON object\./,
    ],
    [
      'POST',
      '/echo',
      json,
      Buffer.from([0x22, 0x61, 0xc3, 0x28, 0x22]),
      400,
      'BadRequestError',
      /not valid UTF-8 \(first bad byte near position 2\)/,
    ],
    [
      'POST',
      '/echo',
      { ...json, 'content-encoding': 'gzip' },
      gzipSync(`"${'x'.repeat(300)}"`),
      413,
      'RequestEntityTooLargeError',
      /exceeds 200 bytes/,
    ],
    [
      'POST',
      '/echo',
      { ...json, 'content-encoding': 'gzip' },
      '{"a":1}',
      400,
      'BadRequestError',
      /the body is not valid gzip: incorrect header check/,
    ],
    [
      'POST',
      '/echo',
      { ...json, 'content-encoding': 'zstd' },
      '{"a":1}',
      415,
      'UnsupportedMediaTypeError',
      /content encoding zstd is not supported\. Send the body as it is/,
    ],
    ['POST', '/echo', json, `"${'x'.repeat(300)}"`, 413, 'RequestEntityTooLargeError', /exceeds 200 bytes/],
    ['POST', '/echo', { 'content-type': 'text/csv' }, 'a', 415, 'UnsupportedMediaTypeError', /text\/csv/],
    ['GET', '/nowhere?q=1', {}, undefined, 404, 'NotFoundError', /^no route for GET \/nowhere\. See/],
    [
      'GET',
      '/echo',
      {},
      undefined,
      405,
      'MethodNotAllowedError',
      /^GET is not allowed on \/echo\. Use POST\./,
    ],
    ['PUT', '/things/7', json, '{}', 405, 'MethodNotAllowedError', /Use DELETE or GET\./],
    ['GET', '/things/%zz', {}, undefined, 400, 'BadRequestError', /not a valid url component/],
    ['GET', '/broken', {}, undefined, 500, 'InternalServerError', /^a defect\. This is a defect/],
    ['GET', '/refused', {}, undefined, 529, 'OverloadedError', /^all eligible workers are overloaded: x\./],
  ] as const)(
    'answers %s %s with %j in the OpenAI shape',
    async (method, path, headers, body, status, type, message) => {
      const url = await echo();
      const response = await fetch(url + path, { method, headers, ...(body !== undefined && { body }) });
      const { error } = (await response.json()) as { error: Record<string, unknown> };
      expect({ status: response.status, error }).toEqual({
        status,
        error: { message: expect.stringMatching(message), type, param: null, code: status },
      });
      if (status === 405) expect(response.headers.get('allow')).not.toBeNull();
    },
  );

  test('answers bytes that are no HTTP in the same shape', async () => {
    const answer = await exchange(await echo(), 'NONSENSE\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toMatchObject({ error: { code: 400 } });
  });

  test('names the flag when the port is busy', async () => {
    const first = makeServer();
    const port = Number(new URL(await first.start()).port);
    const second = makeServer({ port });
    await expect(second.start()).rejects.toMatchObject({
      code: 'KV_PORT_BUSY',
      hint: 'Choose another with --http-port, or 0 for any free port.',
    });
  });

  test('drains: what is in flight ends, new connections are refused', async () => {
    const server = makeServer();
    let finish: (value: object) => void = () => {};
    server.app.get('/slow', () => new Promise<object>((resolve) => (finish = resolve)));
    const url = await server.start();
    const answer = fetch(`${url}/slow`);
    await until(() => server.inFlight === 1);
    const stopped = server.stop(5000);
    await expect(fetch(`${url}/slow`)).rejects.toThrow();
    finish({ done: true });
    expect(await (await answer).json()).toEqual({ done: true });
    await stopped;
    expect(server.inFlight).toBe(0);
  });

  test('cuts off what outlives the grace period', async () => {
    const server = makeServer();
    server.app.get('/never', () => new Promise<object>(() => {}));
    const url = await server.start();
    const answer = expect(fetch(`${url}/never`)).rejects.toThrow();
    await until(() => server.inFlight === 1);
    await server.stop(30);
    await answer;
  });
});

describe('the metrics route', () => {
  test('gives plain text, and gzip only to who asks for it', async () => {
    const server = makeServer();
    serveMetrics(server.app, '/metrics', (accept) => ({
      contentType: `text/plain; a=${accept}`,
      body: Buffer.from('a 1\n'),
    }));
    const url = await server.start();
    const { port } = new URL(url);
    const plain = await exchange(
      url,
      `GET /metrics HTTP/1.1\r\nhost: x:${port}\r\naccept: any\r\nconnection: close\r\n\r\n`,
    );
    expect(plain).toContain('content-type: text/plain; a=any\r\n');
    expect(plain.endsWith('\r\n\r\na 1\n')).toBe(true);
    const { request } = await import('undici');
    for (const [accept, coding] of [
      ['gzip', 'gzip'],
      ['deflate, gzip;q=0.5', 'gzip'],
      ['gzip;q=0', undefined],
      ['identity', undefined],
    ] as const) {
      const response = await request(`${url}/metrics`, { headers: { 'accept-encoding': accept } });
      const bytes = Buffer.from(await response.body.arrayBuffer());
      expect(response.headers['content-encoding']).toBe(coding);
      expect((coding === undefined ? bytes : gunzipSync(bytes)).toString()).toBe('a 1\n');
    }
  });
});

describe('an event stream', () => {
  test('reaches the client as written, text and bytes, and the connection lives on', async () => {
    const server = makeServer();
    server.app.get('/events', (_request, reply) => {
      const stream = new EventStream(reply, { 'x-worker': '7' });
      stream.write('data: é\n\n');
      stream.write(Buffer.from('data: [DONE]\n\n'));
      stream.end();
    });
    const url = await server.start();
    for (let round = 0; round < 2; round++) {
      const response = await fetch(`${url}/events`);
      expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
      expect(response.headers.get('x-worker')).toBe('7');
      expect(await response.text()).toBe('data: é\n\ndata: [DONE]\n\n');
    }
    const get = 'GET /events HTTP/1.1\r\nhost: x\r\n';
    const pipelined = await exchange(url, `${get}\r\n${get}connection: close\r\n\r\n`);
    expect(pipelined.match(/data: \[DONE\]/g)).toHaveLength(2);
    const old = await exchange(url, 'GET /events HTTP/1.0\r\n\r\n');
    expect(old.split('\r\n\r\n')[1]).toBe('data: é\n\ndata: [DONE]\n\n');
  });

  test('holds back a writer whose client does not read, and loses nothing', async () => {
    const server = makeServer();
    const event = Buffer.alloc(64 * 1024, 'x');
    const events = 400;
    let waits = 0;
    server.app.get('/events', async (_request, reply) => {
      const stream = new EventStream(reply);
      for (let i = 0; i < events; i++) {
        if (stream.write(event)) continue;
        waits++;
        await stream.drained();
      }
      stream.end();
    });
    const url = await server.start();
    const response = await fetch(`${url}/events`);
    await until(() => waits > 0);
    expect((await response.arrayBuffer()).byteLength).toBe(event.length * events);
  });

  test('tells when the client leaves, also a writer that waits', async () => {
    const server = makeServer();
    const seen: string[] = [];
    server.app.get('/events', async (_request, reply) => {
      const stream = new EventStream(reply);
      stream.onLeave(() => seen.push('left'));
      while (!stream.left) if (!stream.write('y'.repeat(100_000))) await stream.drained();
      seen.push('stopped');
    });
    const url = await server.start();
    const leave = new AbortController();
    await fetch(`${url}/events`, { signal: leave.signal });
    leave.abort();
    await until(() => seen.length === 2);
    expect(seen).toEqual(['left', 'stopped']);
    await until(() => server.inFlight === 0);
  });
});
