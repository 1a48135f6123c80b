import { describe, expect, test } from 'vitest';
import { envName, flagName, resolveSettings, type SettingRows } from '../base/settings.ts';
import { DEFAULT_ROUTER_CONFIG } from './config.ts';
import { readRouterConfig } from './read-config.ts';
import { MIGRATION_SETTINGS, ROUTER_SETTINGS, type RouterSettings, SCALE_OUT_SETTINGS } from './settings.ts';

const rows: SettingRows = { ...ROUTER_SETTINGS, ...MIGRATION_SETTINGS, ...SCALE_OUT_SETTINGS };

function settingsFrom(flags: Record<string, unknown>, env: Record<string, string> = {}): RouterSettings {
  return resolveSettings(ROUTER_SETTINGS, { flags, env });
}

describe('router settings', () => {
  test('give the documented defaults', () => {
    expect(readRouterConfig(settingsFrom({}))).toEqual(DEFAULT_ROUTER_CONFIG);
  });

  test.each([
    'router-mode',
    'router-min-initial-workers',
    'router-session-affinity-ttl-secs',
    'load-aware',
    'router-kv-overlap-score-credit',
    'router-kv-overlap-score-credit-decay',
    'router-prefill-load-scale',
    'router-host-cache-hit-weight',
    'router-disk-cache-hit-weight',
    'router-decode-active-request-weight',
    'shared-cache-multiplier',
    'shared-cache-type',
    'router-temperature',
    'router-ttl-secs',
    'router-predicted-ttl-secs',
    'serve-indexer',
    'use-remote-indexer',
    'router-replica-sync',
    'router-track-active-blocks',
    'router-track-output-blocks',
    'router-track-prefill-tokens',
    'router-assume-kv-reuse',
    'router-prefill-load-model',
    'router-queue-threshold',
    'router-queue-policy',
    'router-policy-config',
    'active-decode-blocks-threshold',
    'active-prefill-tokens-threshold',
    'active-prefill-tokens-threshold-frac',
    'migration-limit',
    'migration-max-seq-len',
  ])('know --%s and its variable', (name) => {
    const found = Object.entries(rows).find(([key]) => flagName(key) === `--${name}`);
    expect(found).toBeDefined();
    expect(envName(...found!)).toBe(`DYN_${name.replaceAll('-', '_').toUpperCase()}`);
  });

  test('know --router-kv-events by the variable that breaks the rule', () => {
    expect(flagName('routerKvEvents')).toBe('--router-kv-events');
    expect(readRouterConfig(settingsFrom({}, { DYN_ROUTER_USE_KV_EVENTS: 'false' })).useKvEvents).toBe(false);
  });

  test('reach the configuration', () => {
    const config = readRouterConfig(
      settingsFrom({
        routerMode: 'kv',
        routerPreset: '1.0',
        kvOverlapScoreWeight: '0',
        routerTemperature: '0.5',
        routerTtlSecs: '7',
        routerPredictedTtlSecs: '0.5',
        routerSessionAffinityTtlSecs: '60',
        activeDecodeBlocksThreshold: '0.9',
        routerQueueThreshold: '4',
        routerQueuePolicy: 'wspt',
        sharedCacheType: 'hints',
      }),
      { decodeOnly: true },
    );
    expect(config).toMatchObject({ mode: 'kv-1.0', ttlMs: 7000, predictedTtlMs: 500, affinityTtlMs: 60_000 });
    expect(config.weights).toMatchObject({
      prefillLoadScale: 0,
      overlapScoreCredit: 0,
      temperature: 0.5,
      sharedCacheMultiplier: 0.5,
      decodeOnly: true,
    });
    expect(config.busy.activeDecodeBlocks).toBe(0.9);
    expect(config.queue.classes).toMatchObject([{ queuePolicy: 'wspt', busyThresholdFrac: 4 }]);
  });

  test.each([
    [{ routerTrackOutputBlocks: true, routerTrackActiveBlocks: false }, /--router-track-active-blocks/],
    [{ routerPrefillLoadModel: 'learned', routerTrackPrefillTokens: false }, /--router-track-prefill-tokens/],
  ])('refuse the contradiction %j', (flags, message) => {
    expect(() => readRouterConfig(settingsFrom(flags))).toThrow(message);
  });

  test.each([
    [{ routerHostCacheHitWeight: '1.5' }, /above 1/],
    [{ routerTemperature: '-1' }, /below 0/],
    [{ routerSessionAffinityTtlSecs: '0' }, /below 1/],
    [{ routerMode: 'round_robin' }, /round_robin.*not one of its values/],
  ])('refuse %j', (flags, message) => {
    expect(() => settingsFrom(flags)).toThrow(message);
  });
});
