import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { RealClock } from '../base/clock.ts';
import { BlockHasher } from '../kv/hash.ts';
import { ROUTER_SETTINGS } from '../kv/settings.ts';
import { IndexerMetrics } from '../metrics/indexer-metrics.ts';
import { ProcessMetrics } from '../metrics/process-metrics.ts';
import { ReplicaMetrics } from '../metrics/replica-metrics.ts';
import { nameOf } from '../router/partitions.ts';
import { Peers } from '../router/peers.ts';
import { ReplicaPeers } from '../router/replica-peers.ts';
import { addSelectionRoutes } from '../router/selection/selection-routes.ts';
import { SelectionService } from '../router/selection/selection-service.ts';
import { WorkerCatalog } from '../router/selection/worker-catalog.ts';
import { makeServiceServer } from '../router/service-server.ts';
import { SELECTION_SETTINGS } from '../router/settings.ts';
import { HttpClient } from '../transport/http-client.ts';
import { serveMetrics } from '../transport/http-server-metrics.ts';
import { announceService } from './announce-service.ts';
import { defineCommand } from './command.ts';
import { followRank } from './event-feed.ts';
import { makeIndexPartition } from './index-partition.ts';
import { routerConfigs } from './router-configs.ts';
import { routerRandom } from './router-random.ts';

const MAX_BODY_BYTES = 8 * 1024 * 1024;

export const command = defineCommand({
  name: 'selection',
  summary: 'choose workers over HTTP, and keep account of their load, for those who send requests themselves',
  details: `Example:
  curl http://127.0.0.1:8092/workers -H 'content-type: application/json' \\
    -d '{"worker_id": 1, "endpoint": "http://10.0.0.1:8000", "block_size": 16, "kv_events_endpoint": "tcp://10.0.0.1:5557"}'
  curl http://127.0.0.1:8092/select_and_reserve -H 'content-type: application/json' -d '{"token_ids": [1, 2, 3]}'

docs/guides/router-services.md has every path.`,
  settings: { ...SELECTION_SETTINGS, ...ROUTER_SETTINGS },
  async run(settings, context) {
    const { log, signal } = context;
    const configs = routerConfigs(settings);
    const clock = new RealClock();
    const client = new HttpClient();
    const hasher = new BlockHasher();
    const random = routerRandom(settings.routerSeed, undefined);
    const process = new ProcessMetrics({ clock, log, instanceId: random.nextInt(2 ** 48).toString() });
    const metrics = new IndexerMetrics(process.service);
    const peers = new Peers(client, log);
    for (const url of settings.indexerPeers) peers.add(url);
    const series = new ReplicaMetrics(process);
    const replicas = new ReplicaPeers({
      router: randomUUID(),
      client,
      log,
      seriesOf: (partition) => series.router(partition, 'decode'),
    });
    for (const url of settings.replicaPeers) replicas.add(url);
    const catalog = new WorkerCatalog({
      peers,
      follow: (rank, router, listener) => followRank(rank, router, listener, { client, log }),
      makePartition(key, blockSize) {
        const config = configs(key.modelName, 'decode');
        const partition = makeIndexPartition({ clock, random, hasher, metrics }, blockSize, config);
        replicas.join(nameOf(key), partition.router);
        return partition;
      },
    });
    const { weights } = configs('default', 'decode');
    const service = new SelectionService({ clock, hasher, catalog, weights });
    process.onScrape(() => {
      metrics.setModels(catalog.partitions.size);
      metrics.setWorkers(catalog.list({}).length);
    });
    const { host, port } = settings;
    const server = makeServiceServer({ host, port, log, maxBodyBytes: MAX_BODY_BYTES });
    addSelectionRoutes(server.app, service, catalog, hasher, replicas);
    serveMetrics(server.app, '/metrics', (accept) => process.scrape(accept));
    try {
      announceService('selection', await server.start(), context);
      if (!signal.aborted) await once(signal, 'abort');
      await server.stop(1000 * settings.drainSecs);
    } finally {
      catalog.stop();
      await client.stop();
    }
    return 0;
  },
});
