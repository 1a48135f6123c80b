import { RealClock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import { flag } from '../base/settings.ts';
import { FRONTEND_SETTINGS } from '../frontend/settings.ts';
import { BlockHasher } from '../kv/hash.ts';
import { KVASIR_THOMPSON } from '../kv/policies/thompson-parameters.ts';
import { defineCommand } from './command.ts';
import { FLEET_SETTINGS, serveFrontend } from './serve-frontend.ts';

const DEFAULT_PORT = 8082;
const DEFAULT_BLOCK_SIZE = 128;

export const command = defineCommand({
  name: 'router',
  summary: 'choose workers of a fleet over HTTP, and send them requests of token ids',
  details: `Examples:
  kvasir router --engine http://10.0.0.1:8000,kv-events=tcp://10.0.0.1:5557 --router-block-size 16
  curl http://127.0.0.1:8082/best_worker_id -H 'content-type: application/json' -d '{"token_ids": [1, 2, 3]}'
  curl http://127.0.0.1:8082/generate -H 'content-type: application/json' -d '{"token_ids": [1, 2, 3], "stop_conditions": {"max_tokens": 8}}'

The OpenAI API of kvasir frontend is served too, and in a thompson mode what kvasir processor asks. docs/guides/router-services.md
has every path.`,
  settings: {
    ...FRONTEND_SETTINGS,
    ...FLEET_SETTINGS,
    httpPort: {
      ...FRONTEND_SETTINGS.httpPort,
      default: DEFAULT_PORT,
      env: 'KVASIR_ROUTER_PORT',
      aliases: ['--port'],
    },
    kvCacheBlockSize: {
      ...FRONTEND_SETTINGS.kvCacheBlockSize,
      default: DEFAULT_BLOCK_SIZE,
      aliases: ['--router-block-size'],
      help: `tokens per KV block of engines that do not tell theirs`,
    },
    routerRestore: flag({
      help: 'with --router-replica-sync and --router-id: after a restart, get the bookings back from a peer, for clients that free them themselves',
    }),
  },
  async run(settings, context) {
    if (settings.routerRestore && (settings.routerId === undefined || !settings.routerReplicaSync))
      throw fail('KV_USAGE', {
        reason: '--router-restore asks peers for the bookings of the router of this name',
        mend: 'Give --router-replica-sync and --router-id NAME too.',
      });
    const [{ addRouterRoutes, ROUTER_PATHS }, { THOMPSON_PATHS }, { routerService }] = await Promise.all([
      import('../router/router-routes.ts'),
      import('../thompson/router-service.ts'),
      import('./thompson-parts.ts'),
    ]);
    const learns = settings.routerMode.startsWith('thompson');
    const feedbackTimeoutMs = 1000 * KVASIR_THOMPSON.feedbackTimeoutS;
    const hasher = new BlockHasher();
    return serveFrontend(settings, context, {
      role: 'router',
      restoreBookings: settings.routerRestore,
      keyedPaths: learns ? [...ROUTER_PATHS, ...THOMPSON_PATHS] : ROUTER_PATHS,
      addRoutes: (app, frontend, thompson) => {
        const { directory } = frontend;
        if (learns)
          routerService(directory, {
            clock: new RealClock(),
            watch: thompson(),
            feedbackTimeoutMs,
          }).addRoutes(app);
        addRouterRoutes(app, {
          hasher,
          complete: (request, reply, overrides) => frontend.serve('completions', request, reply, overrides),
          routers: () => directory.pools().flatMap((pool) => [...pool.routers.values()]),
          routerOf: (model) => {
            const [first] = directory.models();
            const { name, pool } =
              model === undefined && first !== undefined ? first : directory.find(model ?? '');
            const router = pool.router('decode');
            if (router === undefined) throw fail('KV_NO_WORKERS', { model: name, reason: 'none is ready' });
            return { router, model: name };
          },
        });
      },
    });
  },
});
