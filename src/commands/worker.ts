import { once } from 'node:events';
import { engineKey, parseEngineSpec } from '../transport/engine-spec.ts';
import { startWorker } from '../worker/start-worker.ts';
import { startUpstreamWorker } from '../worker/upstream-worker.ts';
import { upstreamOptions, WORKER_SETTINGS, workerOptions } from '../worker/worker-settings.ts';
import { defineCommand } from './command.ts';
import { engineTokenizer } from './engine-tokenizer.ts';
import { joinPlane } from './join-plane.ts';

/** `kvasir worker`: one engine behind the OpenAI API. */
export const command = defineCommand({
  name: 'worker',
  summary: 'serve a simulated engine, or the metrics of a running one',
  details: `Examples:
  kvasir worker --http-port 9001 --kv-events tcp://127.0.0.1:5557 --replay tcp://127.0.0.1:6557 --system-port 8081
  kvasir worker --engine http://127.0.0.1:8000 --kv-events tcp://127.0.0.1:5557 --system-port 8081
  kvasir worker --discovery nats --http-port 0
  kvasir worker --discovery nats --engine http://127.0.0.1:8000 --kv-events tcp://127.0.0.1:5557 --event-plane nats

When it serves it prints one JSON line with its url, systemUrl and kvEvents. SIGTERM lets requests finish.`,
  settings: WORKER_SETTINGS,
  async run(settings, { log, signal, print, interactive }) {
    const upstream = upstreamOptions(settings);
    const worker =
      upstream === undefined
        ? await startWorker({
            ...workerOptions(settings),
            tokenizer: await engineTokenizer(settings.tokenizer),
            log,
            signal,
          })
        : await startUpstreamWorker({
            ...upstream,
            engineKey: engineKey(parseEngineSpec(upstream.engine), process.env),
            log,
            signal,
          });
    const membership = await joinPlane(worker, settings, log).catch(async (thrown: unknown) => {
      await worker.stop(0);
      throw thrown;
    });
    const { url, systemUrl, kvEvents, replay } = worker;
    if (interactive) {
      print(`${upstream === undefined ? settings.model : upstream.engine} on ${url}`);
      if (systemUrl !== undefined) print(`  metrics   ${systemUrl}/metrics`);
      if (kvEvents !== undefined) print(`  KV events ${kvEvents}`);
    } else print(JSON.stringify({ event: 'ready', role: 'worker', url, systemUrl, kvEvents, replay }));
    if (!signal.aborted) await once(signal, 'abort');
    log.info({ url }, 'draining');
    await membership?.withdraw();
    await worker.stop();
    await membership?.stop();
    return undefined;
  },
});
