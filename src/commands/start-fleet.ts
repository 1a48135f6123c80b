import { RealClock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { resolveSettings } from '../base/settings.ts';
import type { EngineRole } from '../formats/openai/model-card.ts';
import { FRONTEND_SETTINGS } from '../frontend/settings.ts';
import type { RouterConfig } from '../kv/config.ts';
import { describeEngine } from '../transport/describe-engine.ts';
import { MemoryDiscovery } from '../transport/discovery-memory.ts';
import { HttpClient } from '../transport/http-client.ts';
import { type RunningWorker, startWorker, type WorkerOptions } from '../worker/start-worker.ts';
import { followWorker } from './event-feed.ts';
import { forHop } from './router-configs.ts';
import { type RunningFrontend, startFrontend } from './start-frontend.ts';

export interface FleetOptions {
  readonly workers: number;
  /** The first half of the workers prefills, the rest decodes. */
  readonly disaggregated: boolean;
  readonly host: string;
  readonly httpPort: number;
  /** System status port of worker 0, those of the others 100 apart; 0 picks free ones. */
  readonly systemPortBase: number;
  readonly worker: WorkerOptions;
  readonly router: RouterConfig;
  /** Settings of the frontend by name; the others come from the environment. */
  readonly frontend: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Log;
}

/** A frontend and its simulated workers in this process. */
export interface RunningFleet {
  readonly frontend: RunningFrontend;
  readonly workers: readonly RunningWorker[];
  /** Drains the frontend, then the workers. */
  stop(): Promise<void>;
}

const DESCRIBE_TIMEOUT_MS = 10_000;
const SYSTEM_PORT_STEP = 100;

/** Starts workers, then a frontend that knows them; if anything fails, what had started is stopped. */
export async function startFleet(options: FleetOptions): Promise<RunningFleet> {
  const { log, host } = options;
  const clock = new RealClock();
  const client = new HttpClient();
  const discovery = new MemoryDiscovery();
  const workers: RunningWorker[] = [];
  const closers: (() => Promise<void>)[] = [() => client.stop(), () => discovery.stop()];
  const stop = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    for (let number = 0; number < options.workers; number++) {
      const systemPort =
        options.systemPortBase === 0 ? 0 : options.systemPortBase + SYSTEM_PORT_STEP * number;
      const role = roleOf(number, options);
      const worker = await startWorker({
        ...options.worker,
        role,
        engine: { ...options.worker.engine, workerType: role === 'both' ? 'aggregated' : role },
        component: role === 'prefill' ? 'prefill' : 'backend',
        host,
        httpPort: 0,
        systemHost: host,
        systemPort,
        kvEvents: 'tcp://127.0.0.1:*',
        clock,
        log,
      });
      workers.push(worker);
      closers.push(() => worker.stop());
    }
    const byId = new Map(workers.map((worker) => [worker.workerId, worker]));
    const flags = { ...options.frontend, host, httpPort: options.httpPort };
    const frontend = await startFrontend({
      settings: resolveSettings(FRONTEND_SETTINGS, { flags, env: options.env }),
      router: (_model, hop) => forHop(options.router, hop),
      discovery,
      log,
      clock,
      client,
      env: options.env,
      feedEvents: (instance, router) => followWorker(byId.get(instance.workerId), router),
    });
    closers.push(() => frontend.stop());
    for (const worker of workers) {
      discovery.put(
        await describeEngine(client, { url: worker.url }, worker.workerId, {
          timeoutMs: DESCRIBE_TIMEOUT_MS,
        }),
      );
    }
    // Who is told that it is there may ask at once.
    await Promise.all(frontend.frontend.directory.pools().map((pool) => pool.loading));
    return { frontend, workers, stop };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

function roleOf(number: number, { workers, disaggregated }: FleetOptions): EngineRole {
  if (!disaggregated) return 'both';
  return number < Math.floor(workers / 2) ? 'prefill' : 'decode';
}
