import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ParallelMapping } from '../formats/deployment/backend.ts';
import { backendOf } from '../formats/deployment/backends.ts';
import type { Deployment } from '../formats/deployment/deployment.ts';
import { withPlanner } from '../formats/deployment/planner.ts';
import { profileCharts } from './charts.ts';
import type { GpuRange } from './gpu-inventory.ts';
import { writeInterpolationFiles } from './interpolation-files.ts';
import { MEASURED_LOAD_SHARES, measuredLoad } from './measured-load.ts';
import { type MeasurementObserver, Measurements } from './measurements.ts';
import { expectedPoints, type ProfilePhase } from './phases.ts';
import { profileSla } from './pipeline.ts';
import { engineOrder, mappingKind, type SlaPlan, slaPlan } from './plan.ts';
import { PointJournal } from './point-journal.ts';
import { ProbeBudget } from './probe-budget.ts';
import type { ChartRenderer, ProfileOutput } from './profile-output.ts';
import { rankPairs } from './ranking.ts';
import { profileReport } from './report.ts';
import { type SlaProfile, slaMet } from './result.ts';
import { plannerOptions, type SlaSettings } from './settings.ts';
import { profileSummary } from './summary.ts';
import type { ProfileTarget } from './target.ts';
import { type LoadServer, validatePair, validationLine } from './validation.ts';

/** Fewest repeats from which an interval can be made. */
const FEWEST_REPEATS = 2;
const JOURNAL = 'journal.jsonl';

/** Told as the run proceeds, for progress and the log. */
export interface ProfileObserver extends MeasurementObserver {
  /** Points that each phase is expected to measure. */
  onStart(expected: ReturnType<typeof expectedPoints>): void;
  onPhase(phase: ProfilePhase): void;
}

export interface ProfileRun {
  readonly settings: SlaSettings;
  readonly base: Deployment;
  readonly gpus: GpuRange;
  readonly target: ProfileTarget;
  readonly output: ProfileOutput;
  /** Serves the recommended pair under load where its engines cannot be loaded themselves. */
  readonly loadServer?: LoadServer | undefined;
  /** Undefined: charts are written as SVG only. */
  readonly renderer: ChartRenderer | undefined;
  readonly signal: AbortSignal;
  readonly observer: ProfileObserver;
}

/** The whole run, from the first probe to the last file. What was measured is kept even when it throws. */
export async function runProfile(run: ProfileRun): Promise<SlaProfile> {
  const { settings, output, signal } = run;
  const plan = slaPlan(settings, run.base, run.gpus);
  output.status({ status: 'running', phase: 'Initializing' });
  if (settings.forceRerun || !settings.skipExistingResults)
    await rm(join(output.dir, JOURNAL), { force: true });
  const journal = await PointJournal.open(join(output.dir, JOURNAL));
  if (journal.size > 0)
    output.log(`Found ${journal.size} measured points; those of the same settings are not measured again`);
  const enter = (phase: ProfilePhase): void => {
    run.observer.onPhase(phase);
    output.status({ status: 'running', phase });
  };
  // Each rate is a point of either role.
  const loadPoints = run.target.takesLoad && settings.validate ? 2 * MEASURED_LOAD_SHARES.length : 0;
  run.observer.onStart(expectedPoints(plan, loadPoints));
  try {
    const precision = {
      halfWidthShare: settings.halfWidthShare,
      fewestRepeats: FEWEST_REPEATS,
      mostRepeats: settings.maxRepeats,
    };
    const budget = new ProbeBudget({
      probes: settings.maxProbes,
      virtualSeconds: settings.maxVirtualSeconds,
    });
    const measurements = new Measurements({
      target: run.target,
      journal,
      precision,
      budget,
      seed: settings.seed,
      signal,
      observer: run.observer,
    });
    await writeSweepConfigs(plan, output);
    const log = (line: string): void => output.log(line);
    const measured = await profileSla(plan, measurements, { onPhase: enter, log });
    const server =
      run.loadServer ??
      (run.target.takesLoad ? measuredLoad(plan, measurements, settings.loadRequests) : undefined);
    const profile = await validated(run, measured, server, enter);
    enter('GeneratingDGD');
    await writeResults(run, plan, profile);
    const outputs = { final_config: 'config_with_planner.yaml', report: 'report.html' };
    output.status({
      status: 'success',
      message: slaMet(profile)
        ? 'both targets are met'
        : 'the targets cannot be met; the closest point was taken',
      outputs,
      phase: 'Done',
    });
    return profile;
  } finally {
    await journal.close();
  }
}

async function validated(
  { settings, output }: ProfileRun,
  profile: SlaProfile,
  server: LoadServer | undefined,
  enter: (phase: ProfilePhase) => void,
): Promise<SlaProfile> {
  if (server === undefined || !settings.validate) return profile;
  enter('Validating');
  output.log('Serving the recommended pair under mixed load...');
  const validation = await validatePair(profile, server, settings.seed);
  if (validation === undefined) {
    output.log('The recommended pair could not be measured under load');
    return profile;
  }
  output.log(validationLine(validation));
  return { ...profile, validation };
}

/** `--dry-run`: every deployment file, for the narrowest engines, and nothing measured. */
export async function dryRun(
  settings: SlaSettings,
  base: Deployment,
  gpus: GpuRange,
  output: ProfileOutput,
): Promise<void> {
  const plan = slaPlan(settings, base, gpus);
  await writeSweepConfigs(plan, output);
  const narrowest = Math.min(...plan.gpuCounts);
  const prefill = { kind: mappingKind('prefill', plan.moe), gpus: narrowest };
  const decode = { kind: mappingKind('decode', plan.moe), gpus: narrowest };
  await output.writeEngineConfig(engineOrder(plan, 'prefill', prefill, 'selected_prefill_interpolation'));
  await output.writeEngineConfig(engineOrder(plan, 'decode', decode, 'selected_decode_interpolation'));
  await output.write('config_with_planner.yaml', finalDeployment(settings, plan, prefill, decode).toString());
  output.status({
    status: 'success',
    message: 'dry run: nothing was measured',
    outputs: { final_config: 'config_with_planner.yaml' },
    phase: 'Done',
  });
}

async function writeSweepConfigs(plan: SlaPlan, output: ProfileOutput): Promise<void> {
  for (const gpus of plan.gpuCounts) {
    for (const role of ['prefill', 'decode'] as const) {
      const mapping = { kind: mappingKind(role, plan.moe), gpus };
      await output.writeEngineConfig(engineOrder(plan, role, mapping, `${role}_${mapping.kind}${gpus}`));
    }
  }
}

async function writeResults(
  { settings, output, renderer, target }: ProfileRun,
  plan: SlaPlan,
  profile: SlaProfile,
): Promise<void> {
  await writeInterpolationFiles(output.dir, profile);
  await output.writeEngineConfig(
    engineOrder(plan, 'prefill', profile.prefillMapping, 'selected_prefill_interpolation'),
  );
  await output.writeEngineConfig(
    engineOrder(plan, 'decode', profile.decodeMapping, 'selected_decode_interpolation'),
  );
  const charts = profileCharts(profile, settings.gpuHourPrice);
  await output.charts(charts, renderer);
  await output.write(
    'config_with_planner.yaml',
    finalDeployment(settings, plan, profile.prefillMapping, profile.decodeMapping).toString(),
  );
  const pairs = rankPairs(profile, settings.gpuHourPrice);
  await output.write('report.html', profileReport(profile, pairs, charts, target.name));
  await output.write('summary.json', `${JSON.stringify(profileSummary(profile, pairs), null, 2)}\n`);
}

function finalDeployment(
  settings: SlaSettings,
  plan: SlaPlan,
  prefill: ParallelMapping,
  decode: ParallelMapping,
): Deployment {
  return withPlanner(plan.base, {
    backend: backendOf(plan.backend),
    prefill,
    decode,
    gpusPerNode: plan.gpusPerNode,
    options: plannerOptions(settings),
    ttftMs: settings.ttft,
    itlMs: settings.itl,
    profileDir: settings.outputDir,
  });
}
