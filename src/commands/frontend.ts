import { once } from 'node:events';
import { RealClock } from '../base/clock.ts';
import { SeededRandom } from '../base/random.ts';
import { FRONTEND_SETTINGS } from '../frontend/settings.ts';
import { ROUTER_SETTINGS, SCALE_OUT_SETTINGS } from '../kv/settings.ts';
import { DISCOVERY_SETTINGS } from '../transport/discovery-settings.ts';
import { defineCommand } from './command.ts';
import { routerConfigs } from './router-configs.ts';

export const command = defineCommand({
  name: 'frontend',
  summary: 'Serve the OpenAI API in front of a fleet of engines, routing by KV-cache reuse and load',
  details: `Examples:
  kvasir frontend --engine http://10.0.0.1:8000,kv-events=tcp://10.0.0.1:5557 --tokenizer ./tokenizer.json
  kvasir frontend --engine http://127.0.0.1:9001 --engine http://127.0.0.1:9002 --router-mode round-robin
  kvasir frontend --discovery nats --nats-server nats://10.0.0.9:4222 --router-replica-sync`,
  settings: {
    ...FRONTEND_SETTINGS,
    ...ROUTER_SETTINGS,
    ...DISCOVERY_SETTINGS,
    routerReplicaSync: SCALE_OUT_SETTINGS.routerReplicaSync,
  },
  async run(settings, { log, signal, print, interactive }) {
    const [{ startFrontend }, { openPlane }, { HttpClient }] = await Promise.all([
      import('./start-frontend.ts'),
      import('./open-plane.ts'),
      import('../transport/http-client.ts'),
    ]);
    const clock = new RealClock();
    const client = new HttpClient();
    const router = routerConfigs(settings);
    const plane = await openPlane(settings, { client, clock, log });
    try {
      const running = await startFrontend({
        settings,
        router,
        discovery: plane.discovery,
        log,
        clock,
        client,
        env: process.env,
        minInitialWorkers: settings.routerMinInitialWorkers,
        ...(settings.routerSeed !== undefined && { random: new SeededRandom(settings.routerSeed) }),
        feedEvents: plane.feedEvents,
        shareBookings: plane.shareBookings,
      });
      plane.start();
      const unfollow = plane.followLoads(({ workerId, dpRank, ...load }) => {
        for (const pool of running.frontend.directory.pools())
          for (const each of pool.routers.values()) each.reportLoad({ workerId, dpRank }, load);
      });
      const ready = { event: 'ready', role: 'frontend', url: running.url };
      print(interactive ? `frontend serves ${running.url}` : JSON.stringify(ready));
      if (!signal.aborted) await once(signal, 'abort');
      unfollow();
      await running.stop();
    } finally {
      await plane.stop();
      await client.stop();
    }
    return 0;
  },
});
