import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RealClock } from '../base/clock.ts';
import { fail, toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { backendOf, servedModel } from '../formats/deployment/backend.ts';
import { Deployment } from '../formats/deployment/deployment.ts';
import { DEFAULT_MODEL, parseAnalyticModel } from '../perf/analytic-model.ts';
import { EndpointTarget, parseNamedEndpoint } from '../sla-profiler/endpoint-target.ts';
import { LOCAL_COMMANDS, LocalTarget } from '../sla-profiler/local-target.ts';
import { ProfileOutput } from '../sla-profiler/profile-output.ts';
import { rankPairs } from '../sla-profiler/ranking.ts';
import { resultTable } from '../sla-profiler/result-table.ts';
import { dryRun, type ProfileObserver, runProfile } from '../sla-profiler/run.ts';
import { checkSlaSettings, SLA_SETTINGS, type SlaSettings } from '../sla-profiler/settings.ts';
import { SimTarget } from '../sla-profiler/sim-target.ts';
import { profileSummary } from '../sla-profiler/summary.ts';
import type { ProfileTarget } from '../sla-profiler/target.ts';
import { loadPngRenderer } from '../transport/plot-assets.ts';
import { defineCommand } from './command.ts';
import { LoadProbeClient } from './probe-client.ts';
import { ProfileScreen } from './profile-screen.ts';

export const command = defineCommand({
  name: 'profile sla',
  summary: 'Find the parallel mapping that meets TTFT and ITL targets, and write what the planner reads',
  details: `Examples:
  kvasir profile sla --config disagg.yaml --isl 3000 --osl 150 --ttft 200 --itl 20 --output-dir results
  kvasir profile sla --config disagg.yaml --target endpoint --endpoint tp1=http://127.0.0.1:9001

A run that was cut short goes on where it stopped when it is started again with the same settings.`,
  settings: SLA_SETTINGS,
  configIsInput: (source) => /^kind:\s*DynamoGraphDeployment\b/m.test(source),
  async run(settings, { log, logLevel, signal, print, interactive, input }) {
    checkSlaSettings(settings);
    const base =
      input === undefined
        ? await readDeployment(settings.deployment)
        : Deployment.parse(input.source, input.path);
    const screen = new ProfileScreen(logLevel);
    const output = await ProfileOutput.open(settings.outputDir, (line) => screen.say(line), log);
    const client = new LoadProbeClient(settings.model);
    try {
      if (settings.dryRun) {
        await dryRun(settings, base, output);
        print(
          interactive
            ? `Every deployment file is in ${settings.outputDir}; nothing was measured.`
            : JSON.stringify({ dry_run: true, output_dir: settings.outputDir }),
        );
        return 0;
      }
      const profile = await runProfile({
        settings,
        base,
        target: await createTarget(settings, base, client),
        output,
        renderer: settings.charts ? await loadPngRenderer() : undefined,
        signal,
        observer: profileObserver(screen, output, log),
      });
      screen.stop();
      const pairs = rankPairs(profile, settings.gpuHourPrice);
      if (interactive) {
        for (const line of resultTable(profile, pairs)) print(line);
        print(`\nReport: ${join(settings.outputDir, 'report.html')}`);
        print(`To deploy: ${join(settings.outputDir, 'config_with_planner.yaml')}`);
      } else print(JSON.stringify({ ...profileSummary(profile, pairs), output_dir: settings.outputDir }));
      return 0;
    } catch (thrown) {
      if (thrown !== signal.reason) throw thrown;
      screen.stop();
      output.log(
        `Stopped by ${toError(thrown).facts.signal}. What was measured is kept: run the same command again to go on.`,
      );
      return 1;
    } finally {
      screen.stop();
      await client.stop();
      await output.close();
    }
  },
});

function profileObserver(screen: ProfileScreen, output: ProfileOutput, log: Log): ProfileObserver {
  return {
    onStart: (expected) => screen.start(expected),
    onPhase: (phase) => screen.enter(phase),
    onPoint: (description, outcome, reason) => {
      screen.point(description);
      if (outcome === 'failed') output.log(`Failed: ${description}: ${reason}`);
      else log.debug({ outcome }, description);
    },
  };
}

async function createTarget(
  settings: SlaSettings,
  base: Deployment,
  client: LoadProbeClient,
): Promise<ProfileTarget> {
  switch (settings.target) {
    case 'sim': {
      const path = settings.simModel;
      return new SimTarget(
        path === undefined ? DEFAULT_MODEL : parseAnalyticModel(parseJson(await readText(path), path), path),
      );
    }
    case 'endpoint':
      return new EndpointTarget(settings.endpoint.map(parseNamedEndpoint), client, settings.maxKvTokens);
    case 'local':
      return new LocalTarget({
        backend: settings.backend,
        command: settings.engineCommand ?? LOCAL_COMMANDS[settings.backend],
        model: settings.model ?? servedModel(base, backendOf(settings.backend)) ?? '',
        readyTimeoutMs: settings.readyTimeout * 1000,
        kvTokens: settings.maxKvTokens,
        client,
        clock: new RealClock(),
      });
    case 'kubernetes':
      throw fail('KV_SETTING_INVALID', {
        setting: '--target',
        value: settings.target,
        reason: 'is not available yet',
        mend: 'Use --target sim, endpoint or local.',
      });
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (thrown) {
    throw fail(
      'KV_FILE_MALFORMED',
      { path, reason: `not JSON (${toError(thrown).message})`, mend: 'Mend the file.' },
      thrown,
    );
  }
}

async function readDeployment(path: string | undefined): Promise<Deployment> {
  if (path === undefined)
    throw fail('KV_USAGE', {
      reason: 'a deployment file is needed',
      mend: 'Give --config FILE with a DynamoGraphDeployment.',
    });
  return Deployment.parse(await readText(path), path);
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    throw fail('KV_FILE_UNREADABLE', { path, reason: toError(thrown).message }, thrown);
  }
}
