import { Histogram as PromHistogram, Registry as PromRegistry } from 'prom-client';
import { SeededRandom } from '../src/base/random.ts';
import { exponentialBuckets } from '../src/metrics/buckets.ts';
import { Registry } from '../src/metrics/registry.ts';
import { histogram } from '../src/metrics/spec.ts';
import { type Bench, median, quantile, rounded, sampleInTurns } from './harness.ts';

const BOUNDS = exponentialBuckets(0.001, 2, 15);
const LABELS = { model: 'm', endpoint: 'chat_completions', request_type: 'stream' };
const BATCH = 4096;

/** Values spread over all buckets, and some above the last. */
function values(): Float64Array {
  const random = new SeededRandom(1);
  return Float64Array.from({ length: BATCH }, () => 0.0005 * 2 ** (16 * random.next()));
}

export const bench: Bench = {
  summary: `observations of a bound histogram child, 3 labels, ${BOUNDS.length} buckets; prom-client's`,
  floor: 20,
  run({ quick }) {
    const drawn = values();
    const spec = histogram('h', 'h', BOUNDS, ['model', 'endpoint', 'request_type']);
    const own = new Registry().histogram(spec).with(LABELS);
    const theirs = new PromHistogram({
      name: 'h',
      help: 'h',
      buckets: [...BOUNDS],
      labelNames: Object.keys(LABELS),
      registers: [new PromRegistry()],
    }).labels(LABELS);
    const { subjectUs, baselineUs } = sampleInTurns(
      () => {
        for (let i = 0; i < BATCH; i++) own.observe(drawn[i]!);
      },
      () => {
        for (let i = 0; i < BATCH; i++) theirs.observe(drawn[i]!);
      },
      quick ? 60 : 300,
      { subject: 20, baseline: 1 },
    );
    const value = (median(subjectUs) * 1000) / BATCH;
    const baseline = (median(baselineUs) * 1000) / BATCH;
    return {
      value,
      baseline,
      unit: 'ns',
      ratio: baseline / value,
      details: {
        million_per_second: rounded(1000 / value),
        p99_ns: rounded((quantile(subjectUs, 0.99) * 1000) / BATCH),
      },
    };
  },
};
