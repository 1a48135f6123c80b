import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { KvasirProcess } from '../support/kvasir-process.ts';

interface Chunk {
  readonly token_ids?: readonly number[];
  readonly finish_reason?: string;
  readonly error?: string;
}
interface Flow {
  readonly name: string;
  readonly router_request: object;
  readonly engine_call: readonly unknown[];
  readonly yielded: readonly Chunk[];
  readonly feedback: readonly object[];
  readonly metrics: Readonly<Record<string, number>>;
}

const golden = JSON.parse(
  readFileSync(new URL('../golden/thompson/processor.json', import.meta.url), 'utf8'),
) as { readonly flows: readonly Flow[] };

const servers: Server[] = [];
let flow: Flow;
let asked: unknown[] = [];
let told: Record<string, unknown>[] = [];
let worker = '';
let engineModels: unknown[] = [];
let processor: KvasirProcess;
let url = '';

async function serve(
  answer: (request: IncomingMessage, body: string) => string | undefined,
): Promise<string> {
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const text = answer(request, Buffer.concat(pieces).toString());
      if (text === undefined) response.writeHead(500).end();
      else
        response
          .setHeader('content-type', text.startsWith('data:') ? 'text/event-stream' : 'application/json')
          .end(text);
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A chunk of the reference's protocol as an event of the OpenAI API. */
function eventOf({ token_ids, finish_reason, error, ...rest }: Chunk): string {
  const choice = { index: 0, text: 'x', token_ids, finish_reason: finish_reason ?? null };
  const body = error === undefined ? { choices: [choice], ...rest } : { error: { message: error } };
  return `data: ${JSON.stringify(body)}\n\n`;
}

beforeAll(async () => {
  const engine = await serve((request, body) => {
    if (body !== '') engineModels.push(JSON.parse(body).model);
    if (request.method === 'GET') return JSON.stringify({ data: [{ id: 'm' }] });
    return `${flow.yielded.map(eventOf).join('')}data: [DONE]\n\n`;
  });
  const router = await serve((request, body) => {
    if (request.url === '/feedback') {
      told.push(JSON.parse(body));
      return '{"ok":true}';
    }
    asked.push(JSON.parse(body));
    if (flow.name === 'router raises') return undefined;
    if (flow.name === 'router error chunk') return '{"error":"no"}';
    if (flow.name === 'router has no worker') return '{"worker_id":-1,"decision_id":null}';
    return JSON.stringify({ worker_id: 1, worker, decision_id: 'd0' });
  });
  processor = new KvasirProcess([
    ...['processor', '--http-port', '0', '--router-url', router, '--engine', engine],
    ...['--model-path', 'byte', '--model-name', 'public'],
  ]);
  url = String((await processor.json()).url);
  while ((await fetch(`${url}/health`)).status !== 200)
    await new Promise((resolve) => setTimeout(resolve, 50));
});
afterAll(async () => {
  processor.signal('SIGTERM');
  expect(await processor.exitCode()).toBe(0);
  for (const server of servers) server.close();
});

async function ask(body: object = {}): Promise<Response> {
  const nvext = { annotations: ['prefix_id:p', 'total_requests:2', 'osl:100', 'iat:600'] };
  const request = { model: 'm', prompt: [1, 2, 3, 4], stream: true, nvext, ...body };
  return fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request),
  });
}

async function counters(): Promise<Map<string, number>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text
    .split('\n')
    .filter((line) => /^dynamo_component_thompson_\w+(_total|_count|requests)/.test(line));
  return new Map(
    lines.map((line) => [line.split(' ')[0]!.replace(worker, '22'), Number(line.split(' ')[1])]),
  );
}

// First the one without cached tokens: once an engine has told of some, leaving them out means 0.
const flows = [golden.flows.at(-1)!, ...golden.flows.slice(0, -1)];
test.each(flows)('flow: $name', async (each) => {
  flow = each;
  // Learned from an answer: ids are hashes of addresses.
  if (worker === '') {
    const answer = await ask();
    worker = answer.headers.get('x-kvasir-worker-id') ?? '';
    await answer.text();
  }
  // The second call ends a conversation of two: the flow’s starts over.
  await (await ask()).text();
  await expect
    .poll(async () => (await counters()).get('dynamo_component_thompson_active_requests') ?? 0)
    .toBe(0);
  asked = [];
  told = [];
  const before = await counters();
  await (await ask()).text();
  const changed = async () => {
    const after = [...(await counters())];
    return Object.fromEntries(
      after.map(([name, value]) => [name, value - (before.get(name) ?? 0)]).filter(([, by]) => by !== 0),
    );
  };
  await expect.poll(changed).toEqual(each.metrics);
  expect(asked).toEqual([{ ...each.router_request, model: 'm' }]);
  const ends = each.name === 'engine ends without finish_reason';
  // Where the reference leaves a decision open, to punish the worker later, it is closed without a lesson.
  const expected = ends
    ? [{ decision_id: 'd0', success: false, finish_reason: 'cancelled', tokens_in: 4, tokens_out: 1 }]
    : each.feedback;
  await expect.poll(() => told.length).toBe(expected.length);
  const plain = told.map((feedback) => ({ ...feedback, latency_ms: '<t>' }));
  const wanted = expected.map((feedback) => {
    const reason = (feedback as { finish_reason: string }).finish_reason;
    // What raises in a process of its own is an error in the stream.
    return { ...feedback, latency_ms: '<t>', finish_reason: reason === 'exception' ? 'error' : reason };
  });
  expect(plain).toEqual(wanted);
});

test('the model has the name that it is served under, and for the engine its own', async () => {
  flow = golden.flows[0]!;
  const { data } = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
  expect(data.map(({ id }) => id)).toEqual(['public']);
  engineModels = [];
  const answer = await ask({ model: 'public' });
  expect(answer.status).toBe(200);
  await answer.text();
  expect(engineModels).toEqual(['m']);
  expect(asked.at(-1)).toMatchObject({ model: 'm' });
  expect((await ask({ model: 'another' })).status).toBe(404);
});
