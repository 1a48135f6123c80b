import { fail } from '../base/errors.ts';
import { DEFAULT_ROUTER_CONFIG, type RouterConfig } from './config.ts';
import { legacyOverlapWeight } from './policies/kv-cost.ts';
import type { PolicyName } from './policies/make-policy.ts';
import { readQueueConfig, singleClass } from './queue/policy-classes.ts';
import type { RouterSettings } from './settings.ts';

const SECOND_MS = 1000;
const MIB = 2 ** 20;

/** Reads the settings into the router's configuration; `policyDocument` is the parsed `--router-policy-config`. */
export function readRouterConfig(
  settings: RouterSettings,
  options: { readonly policyDocument?: unknown; readonly model?: string; readonly decodeOnly?: boolean } = {},
): RouterConfig {
  check(settings);
  const seconds = (value: number | undefined): number | undefined =>
    value === undefined ? undefined : SECOND_MS * value;
  return {
    ...DEFAULT_ROUTER_CONFIG,
    mode: modeOf(settings),
    weights: readWeights(settings, options.decodeOnly === true),
    loadAware: settings.loadAware,
    useKvEvents: settings.routerKvEvents,
    indexLimitBytes: MIB * settings.indexMemoryMib,
    ttlMs: SECOND_MS * settings.routerTtlSecs,
    predictedTtlMs: seconds(settings.routerPredictedTtlSecs),
    quietMs: settings.routerQuietSecs > 0 ? SECOND_MS * settings.routerQuietSecs : undefined,
    eagle: settings.routerEagle,
    trackActiveBlocks: settings.routerTrackActiveBlocks,
    trackOutputBlocks: settings.routerTrackOutputBlocks,
    assumeKvReuse: settings.routerAssumeKvReuse,
    prefillLoadModel: settings.routerPrefillLoadModel,
    leaseMs: SECOND_MS * settings.routerActiveRequestExpirySecs,
    affinityTtlMs: seconds(settings.routerSessionAffinityTtlSecs),
    busy: {
      activeDecodeBlocks: settings.activeDecodeBlocksThreshold,
      activePrefillTokens: settings.activePrefillTokensThreshold,
      activePrefillTokensFrac: settings.activePrefillTokensThresholdFrac,
    },
    queue:
      options.policyDocument === undefined
        ? singleClass(settings.routerQueuePolicy, settings.routerQueueThreshold)
        : readQueueConfig(options.policyDocument, options.model),
    decisionLogSize: settings.decisionLog,
    acceleratorToCpuRatio: settings.encoderCudaToCpuRatio,
  };
}

function modeOf({ routerMode, routerPreset }: RouterSettings): PolicyName {
  return routerMode === 'kv' && routerPreset === '1.0' ? 'kv-1.0' : routerMode;
}

function readWeights(settings: RouterSettings, decodeOnly: boolean): RouterConfig['weights'] {
  const legacy = settings.kvOverlapScoreWeight;
  return {
    overlapScoreCredit: settings.routerKvOverlapScoreCredit,
    overlapScoreCreditDecay: settings.routerKvOverlapScoreCreditDecay,
    prefillLoadScale: settings.routerPrefillLoadScale,
    decodeActiveRequestWeight: settings.routerDecodeActiveRequestWeight,
    hostCacheHitWeight: settings.routerHostCacheHitWeight,
    diskCacheHitWeight: settings.routerDiskCacheHitWeight,
    sharedCacheMultiplier: settings.sharedCacheType === 'none' ? 0 : settings.sharedCacheMultiplier,
    temperature: settings.routerTemperature,
    trackPrefillTokens: settings.routerTrackPrefillTokens,
    decodeOnly,
    ...(legacy === undefined ? {} : legacyOverlapWeight(legacy)),
  };
}

function check(settings: RouterSettings): void {
  if (settings.routerTrackOutputBlocks && !settings.routerTrackActiveBlocks)
    throw contradiction('--router-track-output-blocks', true, '--router-track-active-blocks');
  if (settings.routerPrefillLoadModel !== 'none' && !settings.routerTrackPrefillTokens)
    throw contradiction(
      '--router-prefill-load-model',
      settings.routerPrefillLoadModel,
      '--router-track-prefill-tokens',
    );
}

function contradiction(setting: string, value: string | boolean, needed: string): Error {
  const reason = `needs ${needed}, which is off`;
  return fail('KV_SETTING_INVALID', {
    setting,
    value,
    reason,
    mend: `Turn ${needed} on, or leave ${setting} out.`,
  });
}
