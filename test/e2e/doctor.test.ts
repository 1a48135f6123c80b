import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { freePort } from '../../src/transport/free-port.ts';
import { KvasirProcess } from '../support/kvasir-process.ts';
import { startPulledEngine } from '../support/pulled-engine.ts';

interface Finding {
  readonly check: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly message: string;
  readonly mend?: string;
}

interface Report {
  readonly ok: boolean;
  readonly engines: readonly { readonly url: string; readonly findings: readonly Finding[] }[];
  readonly fleet: readonly Finding[];
  readonly prometheus: readonly Finding[];
}

const processes: KvasirProcess[] = [];
afterEach(async () => {
  await Promise.all(processes.splice(0).map((each) => each.kill()));
});

const EVENTS = ['--kv-events', 'tcp://127.0.0.1:*', '--replay', 'tcp://127.0.0.1:*'];

async function startWorker(...args: readonly string[]): Promise<{ url: string; kvEvents?: string }> {
  const worker = new KvasirProcess(['worker', '--http-port', '0', '--speedup', '100', ...args]);
  processes.push(worker);
  return (await worker.json()) as { url: string; kvEvents?: string };
}

async function examine(...args: readonly string[]): Promise<{ code: number | null; report: Report }> {
  const doctor = new KvasirProcess(['doctor', '--timeout', '3', ...args]);
  processes.push(doctor);
  const report = (await doctor.json()) as unknown as Report;
  return { code: await doctor.exitCode(), report };
}

const failing = ({ engines, fleet, prometheus }: Report): string[] =>
  [...engines.flatMap(({ findings }) => findings), ...fleet, ...prometheus]
    .filter(({ status }) => status === 'fail')
    .map(({ check }) => check);

test('takes the events of an engine that hands them out once only where it is told to', async () => {
  const engine = await startPulledEngine();
  const spec = `${engine.url},kv-events=pull,block-size=4`;
  const finding = ({ report }: { report: Report }): Finding | undefined =>
    report.engines[0]?.findings.find(({ check }) => check === 'events');
  try {
    engine.queue.push(engine.created);
    const careful = await examine('--engine', spec);
    expect(finding(careful)).toMatchObject({
      status: 'warn',
      message: expect.stringMatching(/none was taken/),
    });
    expect([careful.code, engine.queue.length]).toEqual([0, 1]);
    const taken = await examine('--engine', spec, '--take-events');
    expect(finding(taken)).toMatchObject({ status: 'ok', message: expect.stringMatching(/1 block\(s\)$/) });
    expect(engine.queue).toEqual([]);
  } finally {
    await engine.stop();
  }
  const worker = await startWorker();
  expect(finding(await examine('--engine', `${worker.url},kv-events=pull`))).toMatchObject({
    status: 'fail',
    message: expect.stringMatching(/kv_cache_events answered 404/),
  });
});

test('takes the name that is given for an engine that lists no model', async () => {
  const engine = createServer((request, response) => {
    response.statusCode = request.url === '/v1/models' ? 200 : 404;
    response.end('{"object":"list","data":[]}');
  });
  await new Promise<void>((resolve) => engine.listen(0, '127.0.0.1', resolve));
  const { port } = engine.address() as AddressInfo;
  const { report } = await examine('--engine', `http://127.0.0.1:${port},model=mine`);
  engine.closeAllConnections();
  await new Promise((resolve) => engine.close(resolve));
  expect(report.engines[0]?.findings.slice(0, 2)).toMatchObject([
    { check: 'reachable', status: 'ok' },
    { check: 'model', status: 'ok', message: 'mine' },
  ]);
});

test('finds nothing wrong with workers as they should be', async () => {
  const first = await startWorker(...EVENTS);
  const second = await startWorker(...EVENTS, '--dp-size', '2');
  const { code, report } = await examine('--engine', first.url, '--engine', second.url);
  expect(failing(report)).toEqual([]);
  expect([code, report.ok]).toEqual([0, true]);
  const checks = report.engines.map(({ findings }) =>
    findings.map(({ check, status }) => `${check}: ${status}`),
  );
  const one = [
    'reachable',
    'model',
    'block size',
    'tokenizer',
    'events',
    'replay',
    'snapshot',
    'metrics',
    'clock',
  ];
  expect(checks[0]).toEqual(one.map((check) => `${check}: ok`));
  expect(checks[1]?.filter((check) => check.startsWith('events'))).toEqual(['events 0: ok', 'events 1: ok']);
  expect(report.fleet).toEqual([
    { check: 'hashes', status: 'ok', message: 'engines of kvasir-sim hash equal blocks alike' },
  ]);
}, 60_000);

test('finds nothing wrong with either side of an SGLang pair, which serve no request alone', async () => {
  const pair = ['--engine-type', 'sglang', '--block-size', '16', ...EVENTS];
  const [prefill, decode] = [
    await startWorker('--role', 'prefill', ...pair),
    await startWorker('--role', 'decode', ...pair),
  ];
  const { code, report } = await examine('--engine', prefill.url, '--engine', decode.url);
  expect([code, failing(report)]).toEqual([0, []]);
}, 60_000);

test('names what is wrong with a spec and how to mend it', async () => {
  const { url } = await startWorker(...EVENTS);
  const nobody = await freePort();
  const spec = `${url},model=other,block-size=16,kv-events=tcp://127.0.0.1:${nobody}`;
  const { code, report } = await examine('--engine', spec, '--tokenizer', 'byte');
  expect(code).toBe(1);
  expect(failing(report)).toEqual(['model', 'block size', 'events']);
  const mends = report.engines[0]!.findings.flatMap(({ status, mend }) => (status === 'fail' ? [mend] : []));
  expect(mends[0]).toContain('model=kvasir-sim');
  expect(mends[1]).toBe('Write block-size=64.');
  expect(mends[2]).toContain(`tcp://127.0.0.1:${nobody}`);
}, 60_000);

test('tells of an engine that is not there, of differing block sizes and of a replay socket that is silent', async () => {
  const nobody = await freePort();
  const first = await startWorker('--kv-events', 'tcp://127.0.0.1:*');
  const second = await startWorker('--block-size', '32');
  const { code, report } = await examine(
    '--engine',
    `http://127.0.0.1:${nobody}`,
    '--engine',
    `${first.url},replay=tcp://127.0.0.1:${nobody}`,
    '--engine',
    second.url,
    '--prometheus-url',
    `http://127.0.0.1:${nobody}`,
  );
  expect(code).toBe(1);
  expect(failing(report)).toEqual(['reachable', 'replay', 'block sizes', 'prometheus']);
  const silent = report.engines[2]!.findings.find(({ check }) => check === 'events');
  expect(silent?.status).toBe('warn');
  expect(silent?.mend).toContain('--kv-events');
}, 60_000);

/** In front of a worker: another tokenizer and a clock that is a minute ahead, as a wrongly set up engine has. */
async function disguise(url: string): Promise<{ readonly url: string; stop(): void }> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const answer = await fetch(url + request.url, {
      method: request.method ?? 'GET',
      headers: { 'content-type': 'application/json' },
      ...(body.length > 0 && { body }),
    });
    const text = await answer.text();
    response.setHeader('date', new Date(Date.now() + 60_000).toUTCString());
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' });
    response.end(request.url === '/tokenize' ? text.replace('"tokens":[', '"tokens":[7,') : text);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, stop: () => void server.close() };
}

test('tells of another tokenizer and of a clock that is wrong', async () => {
  const worker = await startWorker(...EVENTS);
  const front = await disguise(worker.url);
  try {
    const { code, report } = await examine('--engine', front.url);
    expect(code).toBe(1);
    expect(failing(report)).toEqual(['tokenizer', 'clock']);
    const messages = report.engines[0]!.findings.map(({ message }) => message);
    expect(messages.some((message) => /byte differs .*token 0 is 84 here and 7 there/.test(message))).toBe(
      true,
    );
    expect(messages.some((message) => /is (59|60)\.\d s ahead of this machine’s/.test(message))).toBe(true);
  } finally {
    front.stop();
  }
}, 60_000);
