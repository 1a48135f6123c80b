import { fail } from '../base/errors.ts';
import { choice, flag, int, list, number, type SettingsOf, text } from '../base/settings.ts';
import { BACKEND_NAMES } from '../formats/deployment/backend.ts';

export const TARGETS = ['sim', 'endpoint', 'local', 'kubernetes'] as const;

/** Settings of the profiler itself; names and defaults are the reference's where it has them. */
export const SLA_SETTINGS = {
  target: choice({
    choices: TARGETS,
    default: 'sim',
    help: 'what to measure: simulated engines in virtual time, running endpoints, engines started here, or deployments on Kubernetes',
  }),
  deployment: text({
    aliases: ['--dgd'],
    placeholder: 'FILE',
    help: 'DynamoGraphDeployment to profile; --config names it too when the file is one',
  }),
  backend: choice({ choices: BACKEND_NAMES, default: 'vllm', help: 'engine that the deployment runs' }),
  outputDir: text({
    default: 'profiling_results',
    placeholder: 'DIR',
    help: 'folder for results; a run that was cut short goes on from what it holds',
  }),
  isl: int({ default: 3000, min: 1, help: 'input sequence length to meet the targets at, in tokens' }),
  osl: int({ default: 500, min: 2, help: 'output sequence length to meet the targets at, in tokens' }),
  ttft: number({ default: 50, min: 0, help: 'target for the time to first token, in ms' }),
  itl: number({ default: 10, min: 0, help: 'target for the inter-token latency, in ms' }),
  minNumGpusPerEngine: int({ min: 1, help: 'fewest GPUs of one engine; 1 unless given' }),
  maxNumGpusPerEngine: int({
    min: 1,
    help: 'most GPUs of one engine; on Kubernetes as many as a node has, elsewhere 8 unless given',
  }),
  numGpusPerNode: int({
    min: 1,
    help: 'GPUs of one node, wider engines span several; on Kubernetes as the nodes say, elsewhere 8 unless given',
  }),
  modelSize: number({
    min: 0,
    placeholder: 'GIB',
    help: 'memory that the weights take, in GiB: engines too narrow to hold them are left out where nodes tell their memory (kubernetes)',
  }),
  isMoeModel: flag({
    help: 'mixture-of-experts model: sweep TEP for prefill and DEP for decode instead of TP',
  }),
  maxContextLength: int({ default: 16384, min: 1, help: 'longest context to interpolate to, in tokens' }),
  prefillInterpolationGranularity: int({ default: 16, min: 1, help: 'prompt lengths of the prefill curve' }),
  decodeInterpolationGranularity: int({
    default: 6,
    min: 1,
    help: 'context lengths of the decode curve, and requests in flight per length',
  }),
  refine: flag({ default: true, help: 'look for the ITL boundary between the points of the decode sweep' }),
  halfWidthShare: number({
    default: 0.03,
    min: 0,
    max: 1,
    help: 'repeat a point until the 95 % interval of its mean is this narrow, as a share of the mean',
  }),
  maxRepeats: int({ default: 5, min: 1, help: 'most repeats of one point' }),
  maxProbes: int({ min: 1, help: 'budget of the run: probes after which points are no longer repeated' }),
  maxVirtualSeconds: number({
    min: 0,
    help: 'budget of the run in simulated seconds, after which points are no longer repeated (target sim)',
  }),
  seed: int({ default: 100, min: 0, help: 'seed of all prompts' }),
  simModel: text({ placeholder: 'FILE', help: 'JSON file with the coefficients of the simulated engines' }),
  endpoint: list({
    placeholder: 'MAPPING=URL',
    help: 'running endpoint of a mapping, as tp4=http://host:8000 or prefill:tp4=http://host:8000 (repeat for each)',
  }),
  model: text({ placeholder: 'NAME', help: 'model to ask endpoints for; default: the first they serve' }),
  apiKey: text({ secret: true, env: 'OPENAI_API_KEY', help: 'bearer token that endpoints ask for' }),
  maxKvTokens: int({ min: 1, help: 'KV capacity of an endpoint that does not tell it, in tokens' }),
  engineCommand: text({
    placeholder: 'TEMPLATE',
    help: 'command that starts a local engine; {port}, {model}, {gpus}, {kind}, {role}, {flags} (of the backend, for width and prefix caching) and {args} (of the deployment’s worker) are filled in',
  }),
  readyTimeout: int({ default: 1800, min: 1, help: 'seconds to wait until an engine is ready' }),
  kubeconfig: text({
    env: 'KUBECONFIG',
    placeholder: 'FILE',
    help: 'how to reach the Kubernetes API; ~/.kube/config, or the service account of the pod, unless given',
  }),
  namespace: text({ default: 'dynamo-sla-profiler', help: 'Kubernetes namespace to deploy in' }),
  serviceName: text({ help: 'host name of the frontend service, instead of the deployment’s own' }),
  gpuHourPrice: number({ default: 3, min: 0, help: 'dollars per GPU-hour, for the cost columns' }),
  validate: flag({
    default: true,
    help: 'serve the recommended pair with mixed requests at several rates and tell the goodput',
  }),
  loadRequests: int({
    min: 20,
    help: 'most requests of each of those rates; 300 on running engines, 4000 on simulated ones unless given',
  }),
  charts: flag({
    default: true,
    help: 'paint the charts as PNG, which takes seconds; SVG files and the report hold them anyway',
  }),
  dryRun: flag({ help: 'write every deployment file but start and measure nothing' }),
  deployAfterProfile: flag({ help: 'create the recommended deployment when done (kubernetes)' }),
  forceRerun: flag({ help: 'forget earlier measurements in the output folder' }),
  skipExistingResults: flag({ default: true, help: 'use earlier measurements in the output folder' }),
  useAiConfigurator: flag({ help: 'estimate with AI Configurator’s performance model instead of measuring' }),
  plannerEnvironment: text({ default: 'kubernetes', help: 'passed to the planner' }),
  plannerNoOperation: flag({ help: 'passed to the planner: observe only' }),
  plannerLogDir: text({ help: 'passed to the planner' }),
  plannerAdjustmentInterval: int({ default: 180, min: 1, help: 'passed to the planner, in seconds' }),
  plannerMaxGpuBudget: int({ default: 8, help: 'passed to the planner' }),
  plannerMinEndpoint: int({ default: 1, min: 0, help: 'passed to the planner' }),
  plannerLoadPredictor: choice({
    choices: ['constant', 'arima', 'prophet', 'kalman'],
    default: 'arima',
    help: 'passed to the planner',
  }),
  plannerLoadPredictionWindowSize: int({ default: 50, min: 1, help: 'passed to the planner' }),
  plannerPrometheusPort: int({ default: 0, min: 0, max: 65535, help: 'passed to the planner' }),
  plannerNoCorrection: flag({ help: 'passed to the planner' }),
  plannerModelName: text({ help: 'passed to the planner' }),
} as const;

export type SlaSettings = SettingsOf<typeof SLA_SETTINGS>;

/** The planner's own options, by its flag names. */
export function plannerOptions(settings: SlaSettings): Record<string, string | number | boolean | undefined> {
  return {
    environment: settings.plannerEnvironment,
    'no-operation': settings.plannerNoOperation,
    'log-dir': settings.plannerLogDir,
    'adjustment-interval': settings.plannerAdjustmentInterval,
    'max-gpu-budget': settings.plannerMaxGpuBudget,
    'min-endpoint': settings.plannerMinEndpoint,
    'load-predictor': settings.plannerLoadPredictor,
    'load-prediction-window-size': settings.plannerLoadPredictionWindowSize,
    'prometheus-port': settings.plannerPrometheusPort,
    'no-correction': settings.plannerNoCorrection,
    'model-name': settings.plannerModelName,
  };
}

/** Refuses settings that contradict each other, before anything is measured. */
export function checkSlaSettings(settings: SlaSettings): void {
  const wrong = (setting: string, value: unknown, reason: string, mend: string): Error =>
    fail('KV_SETTING_INVALID', { setting, value: String(value), reason, mend });
  const { minNumGpusPerEngine: fewest, maxNumGpusPerEngine: most } = settings;
  if (fewest !== undefined && most !== undefined && fewest > most) {
    throw wrong(
      '--min-num-gpus-per-engine',
      fewest,
      `is above --max-num-gpus-per-engine ${most}`,
      'Swap them.',
    );
  }
  if (settings.useAiConfigurator) {
    throw wrong(
      '--use-ai-configurator',
      true,
      'is not available yet',
      'Use --target sim with --sim-model FILE.',
    );
  }
  if (settings.isMoeModel && settings.backend === 'trtllm') {
    throw wrong(
      '--is-moe-model',
      true,
      'is not supported for trtllm',
      'Profile it as a dense model, or with another backend.',
    );
  }
  if (settings.deployAfterProfile && settings.target !== 'kubernetes') {
    throw wrong(
      '--deploy-after-profile',
      true,
      `needs --target kubernetes, not ${settings.target}`,
      'Leave it out, or profile on Kubernetes.',
    );
  }
  if (settings.maxVirtualSeconds !== undefined && settings.target !== 'sim') {
    throw wrong(
      '--max-virtual-seconds',
      settings.maxVirtualSeconds,
      `needs --target sim, not ${settings.target}`,
      'Give --max-probes instead.',
    );
  }
  if (settings.target === 'endpoint' && settings.endpoint.length === 0 && !settings.dryRun) {
    throw wrong(
      '--endpoint',
      '',
      'is needed with --target endpoint',
      'Give --endpoint tp1=http://host:8000 for each mapping.',
    );
  }
}
