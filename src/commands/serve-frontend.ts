import { once } from 'node:events';
import { RealClock } from '../base/clock.ts';
import { SeededRandom } from '../base/random.ts';
import type { SettingsOf } from '../base/settings.ts';
import type { FRONTEND_SETTINGS } from '../frontend/settings.ts';
import { ROUTER_SETTINGS, SCALE_OUT_SETTINGS } from '../kv/settings.ts';
import { DISCOVERY_SETTINGS } from '../transport/discovery-settings.ts';
import { announceService } from './announce-service.ts';
import type { CommandContext } from './command.ts';
import { routerConfigs } from './router-configs.ts';
import type { StartFrontendOptions } from './start-frontend.ts';

/** How the fleet is found and routed to; `FRONTEND_SETTINGS` say how it is served. */
export const FLEET_SETTINGS = {
  ...ROUTER_SETTINGS,
  ...DISCOVERY_SETTINGS,
  routerReplicaSync: SCALE_OUT_SETTINGS.routerReplicaSync,
};

/** Serves a fleet until the context's signal; the frontend and the standalone router share it. */
export async function serveFrontend(
  settings: SettingsOf<typeof FRONTEND_SETTINGS & typeof FLEET_SETTINGS>,
  context: CommandContext,
  { role, ...routes }: { readonly role: string } & Pick<StartFrontendOptions, 'addRoutes' | 'keyedPaths'>,
): Promise<number> {
  const { log, signal } = context;
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
      ...routes,
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
    announceService(role, running.url, context);
    if (!signal.aborted) await once(signal, 'abort');
    unfollow();
    await running.stop();
  } finally {
    await plane.stop();
    await client.stop();
  }
  return 0;
}
