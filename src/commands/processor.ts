import { once } from 'node:events';
import { SeededRandom } from '../base/random.ts';
import { flag, int, number, text } from '../base/settings.ts';
import { modelList } from '../formats/openai/model-card.ts';
import { type ChatRequest, parseChatRequest, parseCompletionRequest } from '../formats/openai/request.ts';
import { ModelDirectory } from '../frontend/model-directory.ts';
import { encodeChatPrompt, encodeCompletionPrompt } from '../frontend/prompt.ts';
import { requireReady } from '../frontend/worker-pool.ts';
import { routerConfig } from '../kv/config.ts';
import { KvRouter } from '../kv/kv-router.ts';
import { ThompsonMetrics } from '../metrics/thompson-metrics.ts';
import { Processor, type ReadRequest } from '../thompson/processor.ts';
import { RouterClient } from '../thompson/router-client.ts';
import { HttpServer } from '../transport/http-server.ts';
import { serveMetrics } from '../transport/http-server-metrics.ts';
import { announceService } from './announce-service.ts';
import { defineCommand } from './command.ts';
import { openPlane } from './open-plane.ts';
import { PromptEncoders } from './prompt-encoders.ts';
import { noWorkers, openThompson, THOMPSON_SETTINGS, thompsonDirectory } from './thompson-parts.ts';

const CHAT = '/v1/chat/completions';
const PATHS = [CHAT, '/v1/completions'] as const;

export const command = defineCommand({
  name: 'processor',
  summary: 'stand before workers as one engine, placing requests by a Thompson router',
  details: `Example:
  kvasir thompson router --engine http://127.0.0.1:9001 --engine http://127.0.0.1:9002
  kvasir processor --router-url http://127.0.0.1:8082 --engine http://127.0.0.1:9001 --engine http://127.0.0.1:9002
  kvasir frontend --engine http://127.0.0.1:8083

It serves the OpenAI API; /metrics has dynamo_component_thompson_*. Without --router-url requests go to the workers in turn.`,
  settings: {
    ...THOMPSON_SETTINGS,
    httpPort: int({
      default: 8083,
      min: 0,
      max: 65_535,
      placeholder: 'PORT',
      help: 'port of the service; 0 picks a free one',
    }),
    routerUrl: text({ placeholder: 'URL', help: 'of kvasir thompson router' }),
    enableRouter: flag({
      default: true,
      aliases: ['--router'],
      help: 'ask the router; without, requests go to the workers in turn',
    }),
    routerTimeoutMs: int({
      default: 2000,
      min: 1,
      placeholder: 'MS',
      help: 'how long the router may take to answer',
    }),
    tokenizer: text({
      placeholder: 'PATH',
      aliases: ['--model-path'],
      help: 'tokenizer of engines that name none; "byte" for simulated ones',
    }),
    modelName: text({
      placeholder: 'NAME',
      help: 'name to serve the workers’ model under; they may call it so, NAME-internal, or anything if they serve but one',
    }),
    engineTimeoutSecs: number({
      default: 600,
      min: 1,
      help: 'how long an engine may take to begin its answer',
    }),
    streamTimeoutSecs: number({ default: 60, min: 1, help: 'an answer silent for so long is given up' }),
    drainSecs: number({
      default: 30,
      min: 0,
      help: 'how long requests under way may take to end at shutdown',
    }),
  },
  async run(settings, context) {
    const { log, signal } = context;
    const { clock, client, metrics } = openThompson(settings.host, settings.httpPort, log);
    const encoders = new PromptEncoders(client, log, settings.tokenizer);
    await encoders.start();
    const plane = await openPlane({ ...settings, routerReplicaSync: false }, { client, clock, log });
    const inTurn = routerConfig({ mode: 'round-robin', useKvEvents: false });
    const random = new SeededRandom(1);
    const directory = new ModelDirectory({
      ...thompsonDirectory(plane.discovery, clock, log, settings.kvCacheBlockSize),
      feedEvents: () => () => {},
      encoderFor: (instance, workers) => encoders.encoderFor(instance, workers),
      makeRouter: ({ blockSize }) => new KvRouter({ blockSize, clock, random, config: inTurn }),
    });
    const router =
      settings.routerUrl === undefined || !settings.enableRouter
        ? undefined
        : new RouterClient({
            url: settings.routerUrl.replace(/\/+$/, ''),
            client,
            timeoutMs: settings.routerTimeoutMs,
            log,
          });
    const processor = new Processor({
      clock,
      client,
      log,
      router,
      metrics: new ThompsonMetrics(metrics),
      headersTimeoutMs: 1000 * settings.engineTimeoutSecs,
      idleTimeoutMs: 1000 * settings.streamTimeoutSecs,
      read: (path, body) => readRequest(directory, path, body, settings.modelName),
    });
    const server = new HttpServer({
      host: settings.host,
      port: settings.httpPort,
      portFlag: '--http-port',
      log,
    });
    for (const path of PATHS)
      server.app.post(path, (request, reply) => processor.serve(path, request, reply));
    server.app.get('/v1/models', async () =>
      modelList(
        directory.models().map(({ name, pool, loraName, created }) => ({
          id: publicName(directory, name, settings.modelName),
          ownedBy: 'kvasir',
          contextLength: pool.contextLength,
          parent: loraName === undefined ? undefined : pool.model,
          engine: undefined,
          created,
        })),
      ),
    );
    server.app.get('/health', async (_, reply) =>
      reply.code(directory.ready ? 200 : 503).send({ status: directory.ready ? 'healthy' : 'not_ready' }),
    );
    serveMetrics(server.app, '/metrics', (accept) => metrics.scrape(accept));
    try {
      const url = await server.start();
      directory.start();
      plane.start();
      announceService('processor', url, context);
      if (!signal.aborted) await once(signal, 'abort');
    } finally {
      await server.stop(1000 * settings.drainSecs);
      await router?.settled();
      directory.stop();
      await plane.stop();
      await encoders.stop();
      await client.stop();
    }
    return 0;
  },
});

/** What the workers call the model that is served under this name. */
function workersName(directory: ModelDirectory, served: string): string {
  const names = directory.models().map(({ name }) => name);
  const known = [served, `${served}-internal`].find((name) => names.includes(name));
  return known ?? (names.length === 1 ? names[0]! : served);
}

function publicName(directory: ModelDirectory, name: string, served: string | undefined): string {
  return served !== undefined && workersName(directory, served) === name ? served : name;
}

async function readRequest(
  directory: ModelDirectory,
  path: string,
  body: unknown,
  served: string | undefined,
): Promise<ReadRequest> {
  const request = path === CHAT ? parseChatRequest(body) : parseCompletionRequest(body);
  const model = request.model === served ? workersName(directory, served) : request.model;
  const { pool } = directory.find(model);
  const encoder = requireReady(pool);
  const { tokens } =
    path === CHAT
      ? await encodeChatPrompt(request as ChatRequest, encoder)
      : await encodeCompletionPrompt(parseCompletionRequest(body).prompt, encoder);
  return {
    model,
    tokens,
    instance: (workerId) => pool.instance(workerId),
    inTurn: () => {
      const selection = pool
        .router('decode')
        ?.select({ requestId: crypto.randomUUID(), tokens, queryOnly: true });
      const instance = selection?.kind === 'selected' ? pool.instance(selection.worker.workerId) : undefined;
      if (instance === undefined) throw noWorkers(model);
      return instance;
    },
  };
}
