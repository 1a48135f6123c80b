import { once } from 'node:events';
import { RealClock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import type { SettingsOf } from '../base/settings.ts';
import type { FRONTEND_SETTINGS } from '../frontend/settings.ts';
import { BlockHasher } from '../kv/hash.ts';
import { ROUTER_SETTINGS, SCALE_OUT_SETTINGS } from '../kv/settings.ts';
import { DISCOVERY_SETTINGS } from '../transport/discovery-settings.ts';
import { announceService } from './announce-service.ts';
import type { CommandContext } from './command.ts';
import { routerConfigs } from './router-configs.ts';
import { routerRandom } from './router-random.ts';
import type { StartFrontendOptions } from './start-frontend.ts';

/** How the fleet is found and routed to; `FRONTEND_SETTINGS` say how it is served. */
export const FLEET_SETTINGS = {
  ...ROUTER_SETTINGS,
  ...DISCOVERY_SETTINGS,
  ...SCALE_OUT_SETTINGS,
};

/** Serves a fleet until the context's signal; the frontend and the standalone router share it. */
export async function serveFrontend(
  settings: SettingsOf<typeof FRONTEND_SETTINGS & typeof FLEET_SETTINGS>,
  context: CommandContext,
  {
    role,
    restoreBookings,
    ...routes
  }: { readonly role: string } & Pick<StartFrontendOptions, 'addRoutes' | 'keyedPaths' | 'restoreBookings'>,
): Promise<number> {
  const { log, signal } = context;
  const [{ startFrontend }, { openPlane }, { HttpClient }, { RemoteIndexer }, { RouteRecorder }] =
    await Promise.all([
      import('./start-frontend.ts'),
      import('./open-plane.ts'),
      import('../transport/http-client.ts'),
      import('../transport/remote-indexer.ts'),
      import('../transport/route-recorder.ts'),
    ]);
  const clock = new RealClock();
  const client = new HttpClient();
  const remoteUrl = remoteIndexerUrl(settings);
  const configs = routerConfigs(settings);
  const remoteIndex = remoteUrl !== undefined;
  const router: typeof configs = (model, hop) => ({ ...configs(model, hop), remoteIndex });
  const served = settings.serveIndexer ? await serveIndex(routes) : routes;
  const makeRemote = (url: string, onFailure: () => void) =>
    new RemoteIndexer({ url, client, clock, log, timeoutMs: settings.remoteIndexerTimeoutMs, onFailure });
  const makeRecorder = (url: string, onLost: (count: number) => void) =>
    new RouteRecorder({ url, client, clock, log, onLost });
  const plane = await openPlane(settings, { client, clock, log });
  try {
    const running = await startFrontend({
      ...served,
      settings,
      router,
      discovery: plane.discovery,
      log,
      clock,
      client,
      env: process.env,
      minInitialWorkers: settings.routerMinInitialWorkers,
      random: routerRandom(settings.routerSeed, settings.routerId),
      feedEvents: remoteIndex ? undefined : plane.feedEvents,
      remoteIndexer: remoteUrl === undefined ? undefined : (onFailure) => makeRemote(remoteUrl, onFailure),
      routeRecorder: remoteUrl === undefined ? undefined : (onLost) => makeRecorder(remoteUrl, onLost),
      shareBookings: plane.shareBookings,
      restoreBookings,
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

/** Where lookups go; undefined where they stay here. Throws KV_USAGE for settings that contradict each other. */
function remoteIndexerUrl({
  useRemoteIndexer,
  remoteIndexer,
  serveIndexer,
}: SettingsOf<typeof FLEET_SETTINGS>): string | undefined {
  if (!useRemoteIndexer && remoteIndexer === undefined) return undefined;
  if (serveIndexer)
    throw fail('KV_USAGE', {
      reason: '--serve-indexer needs an index, and --use-remote-indexer leaves it to others',
      mend: 'Give one of them.',
    });
  if (remoteIndexer === undefined)
    throw fail('KV_USAGE', {
      reason: '--use-remote-indexer does not say where',
      mend: 'Give --remote-indexer http://HOST:8090.',
    });
  if (URL.canParse(remoteIndexer) && /^https?:/.test(remoteIndexer)) return remoteIndexer;
  throw fail('KV_SETTING_INVALID', {
    setting: '--remote-indexer',
    value: remoteIndexer,
    reason: 'is not a URL',
    mend: 'Write http://HOST:PORT.',
  });
}

type Routes = Pick<StartFrontendOptions, 'addRoutes' | 'keyedPaths'>;

/** The routes with those by which other routers look up in this one's index. */
async function serveIndex({ addRoutes, keyedPaths = [] }: Routes): Promise<Routes> {
  const { addServedIndexRoutes, SERVED_INDEX_PATHS } = await import('../router/served-index-routes.ts');
  const hasher = new BlockHasher();
  return {
    keyedPaths: [...keyedPaths, ...SERVED_INDEX_PATHS],
    addRoutes: (app, frontend, thompson) => {
      addRoutes?.(app, frontend, thompson);
      addServedIndexRoutes(app, {
        hasher,
        routersOf: (model) => {
          const served = frontend.directory.models().find(({ name }) => name === model);
          return served === undefined ? [] : [...served.pool.routers.values()];
        },
      });
    },
  };
}
