import { join } from 'node:path';
import { fail, toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { Deployment } from '../formats/deployment/deployment.ts';
import { gpuRange } from '../sla-profiler/gpu-inventory.ts';
import { ProfileOutput } from '../sla-profiler/profile-output.ts';
import { rankPairs } from '../sla-profiler/ranking.ts';
import { resultTable } from '../sla-profiler/result-table.ts';
import { dryRun, type ProfileObserver, runProfile } from '../sla-profiler/run.ts';
import { checkSlaSettings, SLA_SETTINGS } from '../sla-profiler/settings.ts';
import { profileSummary } from '../sla-profiler/summary.ts';
import { loadPngRenderer } from '../transport/plot-assets.ts';
import { defineCommand } from './command.ts';
import { LoadProbeClient } from './probe-client.ts';
import { ProfileScreen } from './profile-screen.ts';
import { chooseTarget } from './profile-target.ts';
import { readText } from './read-text.ts';

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
    const client = new LoadProbeClient(settings.model, settings.apiKey);
    try {
      if (settings.dryRun) {
        await dryRun(settings, base, gpuRange(settings, undefined), output);
        print(
          interactive
            ? `Every deployment file is in ${settings.outputDir}; nothing was measured.`
            : JSON.stringify({ dry_run: true, output_dir: settings.outputDir }),
        );
        return 0;
      }
      const { target, gpus, loadServer, deploy } = await chooseTarget(
        settings,
        base,
        client,
        signal,
        (line) => output.log(line),
      );
      const profile = await runProfile({
        settings,
        base,
        gpus,
        target,
        loadServer,
        output,
        renderer: settings.charts ? await loadPngRenderer() : undefined,
        signal,
        observer: profileObserver(screen, output, log),
      });
      screen.stop();
      if (settings.deployAfterProfile && deploy !== undefined) {
        const path = join(settings.outputDir, 'config_with_planner.yaml');
        const final = Deployment.parse(await readText(path), path);
        const created = await deploy(final);
        output.log(
          created
            ? `Created deployment ${final.name} in ${settings.namespace}`
            : `Deployment ${final.name} exists in ${settings.namespace} already and was left as it is`,
        );
      }
      const pairs = rankPairs(profile, settings.gpuHourPrice);
      if (interactive) {
        for (const line of resultTable(profile, pairs)) print(line);
        print(`\nReport: ${join(settings.outputDir, 'report.html')}`);
        print(`To deploy: ${join(settings.outputDir, 'config_with_planner.yaml')}`);
      } else print(JSON.stringify({ ...profileSummary(profile, pairs), output_dir: settings.outputDir }));
      return 0;
    } catch (thrown) {
      output.failed(thrown);
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

async function readDeployment(path: string | undefined): Promise<Deployment> {
  if (path === undefined)
    throw fail('KV_USAGE', {
      reason: 'a deployment file is needed',
      mend: 'Give --config FILE with a DynamoGraphDeployment.',
    });
  return Deployment.parse(await readText(path), path);
}
