import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { RealClock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import { flag, int, text } from '../base/settings.ts';
import { BYPASS_SETTINGS, HINT_SETTINGS } from '../frontend/settings.ts';
import { type RouterConfig, routerConfig } from '../kv/config.ts';
import { readRouterConfig } from '../kv/read-config.ts';
import { POLICY_FILE_SETTINGS, ROUTER_SETTINGS } from '../kv/settings.ts';
import type { LoadReport } from '../load/measure/report.ts';
import { HttpClient } from '../transport/http-client.ts';
import type { PrometheusServer } from '../transport/prometheus-server.ts';
import { ENGINE_SETTINGS, engineOptions, WORKER_SETTINGS } from '../worker/worker-settings.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { comparisonJson, comparisonTable, DEMO_GOALS, runDemoTrace } from './demo.ts';
import { engineTokenizer } from './engine-tokenizer.ts';
import { type FleetOptions, type RunningFleet, startFleet } from './start-fleet.ts';

const PORT = { min: 0, max: 65_535, placeholder: 'PORT' };
const PROGRESS_SHARE = 0.25;
const RULES = new URL('../../deploy/prometheus/', import.meta.url);
const RULE_FILES = ['alias-rules.yml', 'alert-rules.yml'];

/** Settings of the frontend that are this command's too. */
const PASSED_ON = { ...HINT_SETTINGS, ...BYPASS_SETTINGS, ...POLICY_FILE_SETTINGS };

export const command = defineCommand({
  name: 'up',
  summary: 'start a frontend and simulated workers on this machine; --demo shows what KV routing gains',
  details: `Examples:
  kvasir up
  kvasir up --demo
  kvasir up --with-prometheus
  kvasir up --workers 8 --router-mode round-robin --http-port 0 --system-port-base 0

When it serves it prints one JSON line (readable lines on a terminal). Ctrl-C drains and exits.`,
  settings: {
    workers: int({ default: 4, min: 1, max: 256, help: 'simulated workers' }),
    host: text({
      default: '127.0.0.1',
      placeholder: 'ADDRESS',
      env: 'DYN_HTTP_HOST',
      help: 'address to listen on',
    }),
    httpPort: int({
      ...PORT,
      default: 8000,
      env: 'DYN_HTTP_PORT',
      help: 'port of the frontend; 0 picks a free one',
    }),
    systemPortBase: int({
      ...PORT,
      default: 8081,
      help: 'system status port of worker 0, the others 100 apart; 0 picks free ones',
    }),
    demo: flag({ help: 'first replay a small trace with round-robin and with KV routing, and compare' }),
    withPrometheus: flag({ help: 'start a Prometheus of this machine that scrapes the fleet' }),
    prometheusPort: int({ ...PORT, default: 9090, help: 'port of that Prometheus; 0 picks a free one' }),
    disaggregated: flag({ help: 'let half of the workers prefill and the other half decode' }),
    ...ENGINE_SETTINGS,
    tokenizer: WORKER_SETTINGS.tokenizer,
    ...ROUTER_SETTINGS,
    ...PASSED_ON,
  },
  async run(settings, context) {
    const { log, signal } = context;
    if (settings.disaggregated && settings.workers < 2) {
      throw fail('KV_SETTING_INVALID', {
        setting: '--workers',
        value: settings.workers,
        reason: 'is too few for --disaggregated',
        mend: 'Give 2 or more.',
      });
    }
    const options: FleetOptions = {
      workers: settings.workers,
      disaggregated: settings.disaggregated,
      host: settings.host,
      httpPort: settings.httpPort,
      systemPortBase: settings.systemPortBase,
      worker: {
        model: settings.model,
        tokenizer: await engineTokenizer(settings.tokenizer),
        tokenizerName: settings.tokenizer,
        engine: engineOptions(settings),
        maxModelLen: settings.maxModelLen,
        meanAnswerTokens: settings.answerTokens,
        maxRequests: settings.maxRequests,
        seed: settings.seed,
      },
      router: readRouterConfig(settings, { model: settings.model }),
      frontend: Object.fromEntries(
        Object.keys(PASSED_ON).map((name) => [name, settings[name as keyof typeof PASSED_ON]]),
      ),
      env: process.env,
      log,
    };
    const rows: [string, LoadReport][] = [];
    if (settings.demo && settings.routerMode !== 'round-robin')
      rows.push(['round-robin', await demoWith(options, settings.model, context)]);
    if (signal.aborted) return 0;
    const fleet = await startFleet(options);
    let prometheus: PrometheusServer | undefined;
    try {
      if (settings.withPrometheus) prometheus = await startPrometheus(fleet, settings, context);
      announce(fleet, prometheus, settings.model, context);
      if (settings.demo) {
        rows.push([settings.routerMode, await replay(fleet, settings.routerMode, settings.model, context)]);
        if (!signal.aborted) showComparison(rows, fleet, settings.model, context);
      }
      if (!signal.aborted) await once(signal, 'abort');
    } finally {
      await prometheus?.stop();
      await fleet.stop();
    }
    return 0;
  },
});

/** Scrapes the fleet under the jobs of `deploy/prometheus`, and evaluates its rules. */
async function startPrometheus(
  fleet: RunningFleet,
  { host, prometheusPort }: { readonly host: string; readonly prometheusPort: number },
  { log, signal }: CommandContext,
): Promise<PrometheusServer> {
  const { PrometheusServer } = await import('../transport/prometheus-server.ts');
  const client = new HttpClient();
  const targetOf = (url: string): string => new URL(url).host;
  const workers = fleet.workers.flatMap(({ systemUrl }) => systemUrl ?? []);
  try {
    return await PrometheusServer.start(
      {
        host,
        port: prometheusPort,
        portFlag: '--prometheus-port',
        jobs: [
          { job: 'dynamo-frontend', targets: [targetOf(fleet.frontend.url)] },
          { job: 'dynamo-worker', targets: workers.map(targetOf) },
        ],
        ruleFiles: RULE_FILES.map((name) => fileURLToPath(new URL(name, RULES))),
        env: process.env,
        client,
        clock: new RealClock(),
        log,
      },
      signal,
    );
  } finally {
    await client.stop();
  }
}

/** The demo on a fleet of its own with round-robin, so that the caches of the one that stays are fresh. */
async function demoWith(options: FleetOptions, model: string, context: CommandContext): Promise<LoadReport> {
  const router: RouterConfig = routerConfig({ mode: 'round-robin' });
  const fleet = await startFleet({ ...options, httpPort: 0, systemPortBase: 0, router, frontend: {} });
  try {
    return await replay(fleet, 'round-robin', model, context);
  } finally {
    await fleet.stop();
  }
}

async function replay(
  fleet: RunningFleet,
  mode: string,
  model: string,
  { interactive, signal }: CommandContext,
): Promise<LoadReport> {
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  say(`replaying the demo trace with ${mode} over ${fleet.workers.length} workers ...`);
  let said = 0;
  const report = await runDemoTrace(fleet.frontend.url, model, signal, ({ ended, planned }) => {
    if (interactive) process.stderr.write(`\r  ${ended}/${planned} requests`);
    else if (ended >= (said + PROGRESS_SHARE) * planned) {
      said += PROGRESS_SHARE;
      say(`  ${ended}/${planned} requests`);
    }
  });
  if (interactive) say('');
  return report;
}

function announce(
  fleet: RunningFleet,
  prometheus: PrometheusServer | undefined,
  model: string,
  { interactive, print }: CommandContext,
): void {
  const { url } = fleet.frontend;
  const workers = fleet.workers.map((worker) => ({
    url: worker.url,
    systemUrl: worker.systemUrl,
    kvEvents: worker.kvEvents,
  }));
  if (!interactive) {
    print(JSON.stringify({ event: 'ready', role: 'frontend', url, workers, prometheus: prometheus?.url }));
    return;
  }
  print(`frontend serves ${model} on ${url}`);
  for (const [number, worker] of workers.entries())
    print(`  worker ${number}: ${worker.url}, metrics ${worker.systemUrl}/metrics`);
  if (prometheus !== undefined)
    print(`prometheus: ${prometheus.url}; try: kvasir collect --prometheus-url ${prometheus.url} --watch`);
}

function showComparison(
  rows: readonly (readonly [string, LoadReport])[],
  fleet: RunningFleet,
  model: string,
  { interactive, print }: CommandContext,
): void {
  if (!interactive) {
    print(JSON.stringify(comparisonJson(rows)));
    return;
  }
  const { url } = fleet.frontend;
  print('');
  print(comparisonTable(rows));
  print(
    `(latencies in ms; KVE = cached / prompt tokens; goodput = share of requests with ${DEMO_GOALS.join(' and ')} ms or less)`,
  );
  print('');
  print('It stays up. Try:');
  print(
    `  curl ${url}/v1/chat/completions -H 'content-type: application/json' -d '{"model":"${model}","messages":[{"role":"user","content":"Hello"}]}'`,
  );
  print(`  curl ${url}/metrics`);
  print('Ctrl-C stops it.');
}
