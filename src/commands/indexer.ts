import { once } from 'node:events';
import { RealClock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import { SeededRandom } from '../base/random.ts';
import { routerConfig } from '../kv/config.ts';
import { BlockHasher } from '../kv/hash.ts';
import { IndexerMetrics } from '../metrics/indexer-metrics.ts';
import { ProcessMetrics } from '../metrics/process-metrics.ts';
import { Indexer } from '../router/indexer/indexer.ts';
import { addIndexerRoutes } from '../router/indexer/indexer-routes.ts';
import { Peers } from '../router/peers.ts';
import { makeServiceServer } from '../router/service-server.ts';
import { INDEXER_SETTINGS, readWorkers } from '../router/settings.ts';
import { HttpClient } from '../transport/http-client.ts';
import { serveMetrics } from '../transport/http-server-metrics.ts';
import { announceService } from './announce-service.ts';
import { defineCommand } from './command.ts';
import { followRank } from './event-feed.ts';
import { makeIndexPartition } from './index-partition.ts';

const MAX_BODY_BYTES = 64 * 1024 * 1024;

export const command = defineCommand({
  name: 'indexer',
  summary: 'serve an index of cached blocks over HTTP: who holds how much of a prompt',
  details: `Examples:
  kvasir indexer --workers 1=tcp://10.0.0.1:5557,2=tcp://10.0.0.2:5557 --block-size 16 --model-name llama
  kvasir indexer --peers http://10.0.0.9:8090
  curl http://127.0.0.1:8090/query -H 'content-type: application/json' -d '{"model_name": "llama", "token_ids": [1, 2, 3]}'

Workers may be registered at any time: POST /register. docs/guides/router-services.md has every path.`,
  settings: INDEXER_SETTINGS,
  async run(settings, context) {
    const { log, signal } = context;
    const workers = readWorkers(settings.workers);
    if (workers.length > 0 && settings.blockSize === undefined)
      throw fail('KV_USAGE', {
        reason: '--workers needs --block-size',
        mend: 'Give the tokens of a KV block.',
      });
    const clock = new RealClock();
    const client = new HttpClient();
    const hasher = new BlockHasher();
    const random = new SeededRandom(Math.trunc(clock.wallMs()));
    const process = new ProcessMetrics({ clock, log, instanceId: random.nextInt(2 ** 48).toString() });
    const metrics = new IndexerMetrics(process.service);
    const peers = new Peers(client, log);
    for (const url of settings.peers) peers.add(url);
    const indexer = new Indexer({
      clock,
      peers,
      follow: (rank, router, listener) => followRank(rank, router, listener, { client, log }),
      makePartition: (_key, blockSize) =>
        makeIndexPartition({ clock, random, hasher, metrics }, blockSize, routerConfig()),
    });
    process.onScrape(() => {
      const { models, workers: count, listeners } = indexer.counts();
      metrics.setModels(models);
      metrics.setWorkers(count);
      for (const [status, number] of listeners) metrics.setListeners(status, number);
    });
    const { host, port } = settings;
    const server = makeServiceServer({
      host,
      port,
      log,
      maxBodyBytes: MAX_BODY_BYTES,
      answered: (...answer) => metrics.answered(...answer),
    });
    addIndexerRoutes(server.app, indexer, peers, hasher);
    serveMetrics(server.app, '/metrics', (accept) => process.scrape(accept));
    try {
      for (const { endpoint, ...worker } of workers)
        indexer.register({
          key: { modelName: settings.modelName, routingGroup: settings.routingGroup },
          blockSize: settings.blockSize!,
          worker,
          endpoint,
          replay: undefined,
          snapshot: undefined,
          cacheSalt: undefined,
        });
      await indexer.recover(signal);
      announceService('indexer', await server.start(), context);
      if (!signal.aborted) await once(signal, 'abort');
      await server.stop(1000 * settings.drainSecs);
    } finally {
      indexer.stop();
      await client.stop();
    }
    return 0;
  },
});
