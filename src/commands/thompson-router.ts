import { once } from 'node:events';
import { parse as parseYaml } from 'yaml';
import { SeededRandom } from '../base/random.ts';
import { int, list, number } from '../base/settings.ts';
import { ModelDirectory } from '../frontend/model-directory.ts';
import { WasmIndex } from '../kv/index/wasm-index.ts';
import { KvRouter } from '../kv/kv-router.ts';
import { joinObservers } from '../kv/observer.ts';
import { isThompsonConfig, readThompsonConfig } from '../kv/policies/thompson-config.ts';
import { KVASIR_THOMPSON, REFERENCE_THOMPSON } from '../kv/policies/thompson-parameters.ts';
import { ThompsonWatch } from '../kv/policies/thompson-watch.ts';
import { POLICY_FILE_SETTINGS, ROUTER_SETTINGS } from '../kv/settings.ts';
import { ThompsonRouterMetrics } from '../metrics/thompson-router-metrics.ts';
import { HttpServer } from '../transport/http-server.ts';
import { serveMetrics } from '../transport/http-server-metrics.ts';
import { announceService } from './announce-service.ts';
import { defineCommand } from './command.ts';
import { openPlane } from './open-plane.ts';
import { openPolicyFiles } from './policy-files.ts';
import { routerConfigs } from './router-configs.ts';
import {
  noWorkers,
  openThompson,
  routerService,
  THOMPSON_SETTINGS,
  thompsonDirectory,
} from './thompson-parts.ts';

const { default: _usual, ...ROUTER_MODE } = ROUTER_SETTINGS.routerMode;

export const command = defineCommand({
  name: 'thompson router',
  summary: 'choose workers for a Thompson processor, and learn from what it tells',
  details: `Example:
  kvasir thompson router --engine http://127.0.0.1:9001 --engine http://127.0.0.1:9002 --policy-state-file state.json

POST /find_worker and /feedback are the messages of NeMo Agent Toolkit's router; /metrics has thompson_router_*.
--config also takes that router's own config.yaml, which makes --router-mode thompson-reference unless one is given.`,
  configIsInput: (source) => isThompsonConfig(parsedOrNothing(source)),
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
    routerMode: {
      ...ROUTER_MODE,
      help: 'how a worker is chosen; thompson, or thompson-reference with a config.yaml',
    },
    override: list({
      placeholder: 'KEY.PATH=VALUE',
      help: 'changes a parameter, named as in the toolkit’s config.yaml: lints.v=0.3; may be repeated',
    }),
    affinityBase: number({ min: 0, help: 'as --override affinity.base' }),
    tempBase: number({ min: 0, help: 'as --override exploration.temperature.base' }),
    lintsV: number({ min: 0, help: 'as --override lints.v' }),
    ...POLICY_FILE_SETTINGS,
  },
  async run(settings, context) {
    const { log, signal, input } = context;
    const changed = readThompsonConfig(input && parseYaml(input.source), overridesOf(settings));
    const usual = input === undefined ? 'thompson' : 'thompson-reference';
    const routerMode = settings.routerMode ?? (changed.byLoad ? 'least-loaded' : usual);
    const { clock, client, metrics } = openThompson(settings.host, settings.port, log);
    const decisionLogFile = settings.decisionLogFile ?? changed.traceFile;
    const files = await openPolicyFiles({ ...settings, decisionLogFile }, { process: metrics, clock, log });
    const plane = await openPlane({ ...settings, routerReplicaSync: false }, { client, clock, log });
    const configOf = routerConfigs({ ...settings, routerMode });
    const preset = routerMode === 'thompson-reference' ? REFERENCE_THOMPSON : KVASIR_THOMPSON;
    const { feedbackTimeoutS } = { ...preset, ...changed.parameters };
    const feedbackTimeoutMs = 1000 * (settings.feedbackTimeoutSecs ?? feedbackTimeoutS);
    const watch = new ThompsonWatch(new ThompsonRouterMetrics(metrics), clock, feedbackTimeoutMs);
    const random = new SeededRandom(settings.routerSeed ?? Math.trunc(clock.wallMs()));
    const directory = new ModelDirectory({
      ...thompsonDirectory(plane.discovery, clock, log, settings.kvCacheBlockSize ?? changed.blockSize),
      feedEvents: plane.feedEvents,
      // Prompts come as tokens.
      encoderFor: (instance) =>
        Promise.resolve({ exact: true, encode: refuse(instance.url), encodeChat: refuse(instance.url) }),
      makeRouter({ model, blockSize }, hop) {
        const config = { ...configOf(model, hop), thompson: changed.parameters };
        const index = config.useKvEvents ? new WasmIndex() : undefined;
        const observer = joinObservers(watch.observer, files.observe(`${model}/${hop}`, blockSize));
        const router = new KvRouter({ blockSize, clock, random, config, index, observer });
        files.remember(`${model}/${hop}`, router);
        return router;
      },
    });
    const service = routerService(directory, { clock, watch, feedbackTimeoutMs });
    const server = new HttpServer({ host: settings.host, port: settings.port, portFlag: '--port', log });
    service.addRoutes(server.app);
    serveMetrics(server.app, '/metrics', (accept) => {
      service.refresh();
      return metrics.scrape(accept);
    });
    server.app.get('/health', async (_, reply) => {
      const workers = directory.pools().reduce((sum, { size }) => sum + size, 0);
      const ready = workers >= Math.max(1, changed.minWorkers);
      return reply.code(ready ? 200 : 503).send({ status: ready ? 'healthy' : 'not_ready', workers });
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

const SHORTCUTS = {
  affinityBase: 'affinity.base',
  tempBase: 'exploration.temperature.base',
  lintsV: 'lints.v',
} as const;

/** The toolkit's own flags for single parameters win over its general one. */
function overridesOf(
  settings: Readonly<Record<keyof typeof SHORTCUTS, number | undefined>> & {
    readonly override: readonly string[];
  },
): readonly string[] {
  const names = Object.keys(SHORTCUTS) as (keyof typeof SHORTCUTS)[];
  const given = names.filter((name) => settings[name] !== undefined);
  return [...settings.override, ...given.map((name) => `${SHORTCUTS[name]}=${settings[name]}`)];
}

function parsedOrNothing(source: string): unknown {
  try {
    return parseYaml(source);
  } catch {
    return undefined;
  }
}

function refuse(url: string): () => never {
  return () => {
    throw noWorkers(url);
  };
}
