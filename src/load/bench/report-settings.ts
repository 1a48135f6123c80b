import { list } from '../../base/settings.ts';
import { BENCH_SETTINGS } from './settings.ts';

const {
  goodput,
  convention,
  sendLagLimitMs,
  outputDir,
  model,
  metricPercentiles,
  percentileMetrics,
  saveDetailed,
} = BENCH_SETTINGS;

/** Settings of `kvasir bench report`: what to read, and how to value it. */
export const BENCH_REPORT_SETTINGS = {
  records: list({
    placeholder: 'FILE',
    help: 'records.jsonl of a run; several are merged, as shards of one run',
  }),
  model,
  goodput,
  convention,
  sendLagLimitMs,
  percentileMetrics,
  metricPercentiles,
  saveDetailed,
  outputDir,
};
