import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { OpenAiTarget, type OpenAiTargetOptions } from './openai-target.ts';
import { runLoad } from './run-load.ts';
import { syntheticPlan } from './synthetic-plan.ts';

const REQUESTS = 200;
const CONCURRENCY = 20;

const chunk = (text: string, finish: string | null): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, text, finish_reason: finish }] })}\n\n`;
const ANSWER = `${chunk('a', null)}${chunk('b', null)}${chunk('c', 'length')}data: [DONE]\n\n`;

/**
 * Exercises the whole sending path against a server inside this process. Code that runs for the first time is slow:
 * without this, a burst at the start of a run leaves 20 ms late (measured), which would count as send lag.
 */
export async function warmGenerator(options: OpenAiTargetOptions, signal: AbortSignal): Promise<void> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).end(ANSWER);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const target = new OpenAiTarget({
    ...options,
    url: `http://127.0.0.1:${port}`,
    headers: {},
    apiKey: undefined,
  });
  try {
    const plan = syntheticPlan({ requests: REQUESTS, isl: 64, osl: 3, concurrency: CONCURRENCY });
    await runLoad(plan, target, { signal });
  } finally {
    await target.stop();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}
