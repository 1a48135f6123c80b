import { fail } from '../../base/errors.ts';
import type { VllmOptions } from '../export/vllm-json.ts';
import { parseGoals } from '../measure/goodput.ts';
import type { BenchSettings } from './settings.ts';

/** Settings that say how a run is valued, shared by `bench` and `bench report`. */
type ReportSettings = Pick<
  BenchSettings,
  'goodput' | 'metricPercentiles' | 'percentileMetrics' | 'saveDetailed'
>;

export function vllmOptions(settings: ReportSettings): VllmOptions {
  return {
    goals: parseGoals(settings.goodput),
    percentiles: parsePercentiles(settings.metricPercentiles),
    percentileMetrics: settings.percentileMetrics,
    detailed: settings.saveDetailed,
  };
}

/** Reads `KEY=VALUE` items. */
export function parseMetadata(items: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    items.map((item) => {
      const equals = item.indexOf('=');
      if (equals > 0) return [item.slice(0, equals), item.slice(equals + 1)];
      throw fail('KV_SETTING_INVALID', {
        setting: '--metadata',
        value: item,
        reason: 'has no key',
        mend: 'Give KEY=VALUE.',
      });
    }),
  );
}

function parsePercentiles(items: readonly string[]): readonly number[] {
  return items.map((item) => {
    const value = Number(item);
    if (value >= 0 && value <= 100) return value;
    throw fail('KV_SETTING_INVALID', {
      setting: '--metric-percentiles',
      value: item,
      reason: 'is not a percentile',
      mend: 'Give numbers from 0 to 100, as in 50,90,99.9.',
    });
  });
}
