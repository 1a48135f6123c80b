import { RealClock, sleepUntil } from '../base/clock.ts';
import { collectedTable } from '../collector/collected-table.ts';
import { type CollectOptions, collect } from '../collector/collector.ts';
import type { DynamoMetricsConfig } from '../collector/config.ts';
import { collectNat, natHealth } from '../collector/nat-collector.ts';
import { enabledQueries } from '../collector/queries.ts';
import { COLLECT_SETTINGS, readCollectConfig, readCustomMetrics } from '../collector/settings.ts';
import { HttpClient } from '../transport/http-client.ts';
import { prometheusApi } from '../transport/prometheus-api.ts';
import { type CommandContext, defineCommand } from './command.ts';

const CLEAR = '\u001b[H\u001b[2J';
const SECOND_MS = 1000;

export const command = defineCommand({
  name: 'collect',
  summary: 'read cache efficiency and latencies of a run from Prometheus',
  details: `Examples:
  kvasir collect --prometheus-url http://127.0.0.1:9090 --watch
  kvasir collect --workflow-start-timestamp 1700000030 --workflow-end-timestamp 1700000150 --core-only
  kvasir collect --metric 'errors=sum(increase(dynamo_frontend_requests_total{status="error"}[{range}]))'

A value of 0 means 0; null means that no series of that name exists. Exits 1 when Prometheus answers nothing at all.`,
  settings: COLLECT_SETTINGS,
  async run(settings, context) {
    const config = readCollectConfig(settings);
    const custom = readCustomMetrics(settings.metric);
    const client = new HttpClient();
    const deadlineMs = settings.deadline * SECOND_MS;
    const options: CollectOptions = {
      api: prometheusApi(client, settings.prometheusUrl, deadlineMs),
      nowS: () => Date.now() / SECOND_MS,
      signal: context.signal,
      model: settings.model,
      custom,
      deadlineMs,
      parallel: settings.parallel,
    };
    try {
      if (settings.health) return await showHealth(options, context);
      const clock = new RealClock();
      for (;;) {
        const fromMs = clock.nowMs();
        const failed = await show(config, settings.compat, options, settings.watch, context);
        if (!settings.watch) return failed ? 1 : 0;
        await sleepUntil(clock, fromMs + settings.watchInterval * SECOND_MS, context.signal);
      }
    } finally {
      await client.stop();
    }
  },
});

async function showHealth(options: CollectOptions, { print }: CommandContext): Promise<number> {
  const health = await natHealth(options);
  print(JSON.stringify(health));
  return health.prometheus ? 0 : 1;
}

/** Collects and shows once; true when nothing could be read. */
async function show(
  config: DynamoMetricsConfig,
  compat: 'kvasir' | 'nat',
  options: CollectOptions,
  watching: boolean,
  { interactive, print }: CommandContext,
): Promise<boolean> {
  if (compat === 'nat') {
    const result = await collectNat(config, options);
    print(JSON.stringify(result, undefined, interactive ? 2 : undefined));
    return result.errors.length === enabledQueries(config).length;
  }
  const result = await collect(config, options);
  if (interactive) print((watching ? CLEAR : '') + collectedTable(result).join('\n'));
  else print(JSON.stringify(result));
  return result.faults.some(({ metric }) => metric === 'up');
}
