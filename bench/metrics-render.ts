import { Histogram as PromHistogram, Registry as PromRegistry } from 'prom-client';
import { RealClock } from '../src/base/clock.ts';
import { SeededRandom } from '../src/base/random.ts';
import { exponentialBuckets } from '../src/metrics/buckets.ts';
import { ProcessMetrics } from '../src/metrics/process-metrics.ts';
import { histogram } from '../src/metrics/spec.ts';
import { type Bench, median, quantile, rounded } from './harness.ts';

const CHILDREN = 500;
const BOUNDS = exponentialBuckets(0.001, 2, 15);
const LABEL_NAMES = ['model', 'endpoint', 'request_type'] as const;

const labelsOf = (child: number) => ({
  model: `model-${child}`,
  endpoint: 'chat_completions',
  request_type: child % 2 === 0 ? 'stream' : 'unary',
});

async function timeMs(render: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await render();
  return performance.now() - started;
}

export const bench: Bench = {
  summary: `${CHILDREN} histogram children of ${BOUNDS.length} buckets to text; prom-client's`,
  floor: 4,
  async run({ quick }) {
    const random = new SeededRandom(1);
    const metrics = new ProcessMetrics({ clock: new RealClock(), instanceId: 1n });
    const own = metrics.service.histogram(histogram('h_seconds', 'h', BOUNDS, LABEL_NAMES));
    const registry = new PromRegistry();
    const theirs = new PromHistogram({
      name: 'h_seconds',
      help: 'h',
      buckets: [...BOUNDS],
      labelNames: [...LABEL_NAMES],
      registers: [registry],
    });
    for (let child = 0; child < CHILDREN; child++) {
      for (let i = 0; i < 20; i++) {
        const value = 0.0005 * 2 ** (16 * random.next());
        own.with(labelsOf(child)).observe(value);
        theirs.observe(labelsOf(child), value);
      }
    }
    const samples = quick ? 30 : 150;
    const subjectMs: number[] = [];
    const baselineMs: number[] = [];
    for (let round = -5; round < samples; round++) {
      const fast = await timeMs(() => metrics.scrape());
      const slow = await timeMs(() => registry.metrics());
      if (round < 0) continue;
      subjectMs.push(fast);
      baselineMs.push(slow);
    }
    const value = median(subjectMs);
    const baseline = median(baselineMs);
    return {
      value,
      baseline,
      unit: 'ms',
      ratio: baseline / value,
      details: {
        p99_ms: rounded(quantile(subjectMs, 0.99)),
        bytes: (await metrics.scrape()).body.length,
      },
    };
  },
};
