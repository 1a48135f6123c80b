import { once } from 'node:events';
import { SeededRandom } from '../base/random.ts';
import { int, number } from '../base/settings.ts';
import { ModelDirectory } from '../frontend/model-directory.ts';
import { WasmIndex } from '../kv/index/wasm-index.ts';
import { KvRouter } from '../kv/kv-router.ts';
import { KVASIR_THOMPSON, REFERENCE_THOMPSON } from '../kv/policies/thompson-parameters.ts';
import { POLICY_FILE_SETTINGS, ROUTER_SETTINGS } from '../kv/settings.ts';
import { ThompsonRouterMetrics } from '../metrics/thompson-router-metrics.ts';
import { RouterService } from '../thompson/router-service.ts';
import { HttpServer } from '../transport/http-server.ts';
import { serveMetrics } from '../transport/http-server-metrics.ts';
import { announceService } from './announce-service.ts';
import { defineCommand } from './command.ts';
import { openPlane } from './open-plane.ts';
import { openPolicyFiles } from './policy-files.ts';
import { routerConfigs } from './router-configs.ts';
import { noWorkers, openThompson, THOMPSON_SETTINGS, thompsonDirectory } from './thompson-parts.ts';

export const command = defineCommand({
  name: 'thompson router',
  summary: 'choose workers for a Thompson processor, and learn from what it tells',
  details: `Example:
  kvasir thompson router --engine http://127.0.0.1:9001 --engine http://127.0.0.1:9002 --policy-state-file state.json

POST /find_worker and /feedback are the messages of NeMo Agent Toolkit's router; /metrics has thompson_router_*.`,
  settings: {
    ...THOMPSON_SETTINGS,
    port: int({
      default: 8082,
      min: 0,
      max: 65_535,
      placeholder: 'PORT',
      help: 'port of the service; 0 picks a free one',
    }),
    feedbackTimeoutSecs: number({
      min: 1,
      placeholder: 'SECONDS',
      help: 'how long a decision waits for its feedback; 3600, in thompson-reference mode 120',
    }),
    ...ROUTER_SETTINGS,
    routerMode: { ...ROUTER_SETTINGS.routerMode, default: 'thompson' },
    ...POLICY_FILE_SETTINGS,
  },
  async run(settings, context) {
    const { log, signal } = context;
    const { clock, client, metrics } = openThompson(settings.host, settings.port, log);
    const files = await openPolicyFiles(settings, { process: metrics, clock, log });
    const plane = await openPlane({ ...settings, routerReplicaSync: false }, { client, clock, log });
    const configOf = routerConfigs(settings);
    const random = new SeededRandom(settings.routerSeed ?? Math.trunc(clock.wallMs()));
    const directory = new ModelDirectory({
      ...thompsonDirectory(plane.discovery, clock, log, settings.kvCacheBlockSize),
      feedEvents: plane.feedEvents,
      // Prompts come as tokens.
      encoderFor: (instance) =>
        Promise.resolve({ exact: true, encode: refuse(instance.url), encodeChat: refuse(instance.url) }),
      makeRouter({ model, blockSize }, hop) {
        const config = configOf(model, hop);
        const index = config.useKvEvents ? new WasmIndex() : undefined;
        const observer = files.observe(`${model}/${hop}`, blockSize);
        const router = new KvRouter({ blockSize, clock, random, config, index, observer });
        files.remember(`${model}/${hop}`, router);
        return router;
      },
    });
    const preset = settings.routerMode === 'thompson-reference' ? REFERENCE_THOMPSON : KVASIR_THOMPSON;
    const service = new RouterService({
      clock,
      metrics: new ThompsonRouterMetrics(metrics),
      feedbackTimeoutMs: 1000 * (settings.feedbackTimeoutSecs ?? preset.feedbackTimeoutS),
      routerOf: (model) => {
        const pools = directory.pools();
        const served = directory.models().find(({ name }) => name === model)?.pool;
        return (served ?? (model === undefined ? pools[0] : undefined))?.router('decode');
      },
    });
    const server = new HttpServer({ host: settings.host, port: settings.port, portFlag: '--port', log });
    service.addRoutes(server.app);
    serveMetrics(server.app, '/metrics', (accept) => {
      service.refresh();
      return metrics.scrape(accept);
    });
    server.app.get('/health', async (_, reply) => {
      const workers = directory.pools().reduce((sum, { size }) => sum + size, 0);
      return reply
        .code(workers > 0 ? 200 : 503)
        .send({ status: workers > 0 ? 'healthy' : 'not_ready', workers });
    });
    try {
      const url = await server.start();
      directory.start();
      plane.start();
      announceService('thompson-router', url, context);
      if (!signal.aborted) await once(signal, 'abort');
    } finally {
      await server.stop();
      directory.stop();
      await files.stop();
      await plane.stop();
      await client.stop();
    }
    return 0;
  },
});

function refuse(url: string): () => never {
  return () => {
    throw noWorkers(url);
  };
}
