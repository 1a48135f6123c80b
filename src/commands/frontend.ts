import { once } from 'node:events';
import { RealClock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import { SeededRandom } from '../base/random.ts';
import { FRONTEND_SETTINGS } from '../frontend/settings.ts';
import { BlockHasher } from '../kv/hash.ts';
import { ROUTER_SETTINGS } from '../kv/settings.ts';
import { parseEngineSpec, workerIdOf } from '../transport/engine-spec.ts';
import { defineCommand } from './command.ts';
import { followEngine } from './event-feed.ts';
import { routerConfigs } from './router-configs.ts';

export const command = defineCommand({
  name: 'frontend',
  summary: 'Serve the OpenAI API in front of a fleet of engines, routing by KV-cache reuse and load',
  details: `Examples:
  kvasir frontend --engine http://10.0.0.1:8000,kv-events=tcp://10.0.0.1:5557 --tokenizer ./tokenizer.json
  kvasir frontend --engine http://127.0.0.1:9001 --engine http://127.0.0.1:9002 --router-mode round-robin`,
  settings: {
    ...FRONTEND_SETTINGS,
    ...ROUTER_SETTINGS,
  },
  async run(settings, { log, signal, print, interactive }) {
    const engines = settings.engine.map((text) => parseEngineSpec(text));
    if (engines.length === 0)
      throw fail('KV_USAGE', {
        reason: 'no engine is given',
        mend: 'Name at least one with --engine http://HOST:PORT.',
      });
    const [{ startFrontend }, { StaticDiscovery }, { HttpClient }] = await Promise.all([
      import('./start-frontend.ts'),
      import('../transport/discovery-static.ts'),
      import('../transport/http-client.ts'),
    ]);
    const clock = new RealClock();
    const client = new HttpClient();
    const hasher = new BlockHasher();
    const discovery = new StaticDiscovery({
      engines,
      client,
      clock,
      log,
      workerIdOf: (url) => workerIdOf(url, (bytes, seed) => hasher.hashBytes(bytes, seed)),
    });
    const router = routerConfigs(settings);
    try {
      const running = await startFrontend({
        settings,
        router,
        discovery,
        log,
        clock,
        client,
        env: process.env,
        minInitialWorkers: settings.routerMinInitialWorkers,
        ...(settings.routerSeed !== undefined && { random: new SeededRandom(settings.routerSeed) }),
        feedEvents: (instance, router) => followEngine(instance, router, { client, log }),
      });
      discovery.start();
      const ready = { event: 'ready', role: 'frontend', url: running.url };
      print(interactive ? `frontend serves ${running.url}` : JSON.stringify(ready));
      if (!signal.aborted) await once(signal, 'abort');
      await running.stop();
    } finally {
      await discovery.stop();
      await client.stop();
    }
    return 0;
  },
});
