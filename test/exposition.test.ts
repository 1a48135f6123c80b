import { expect, test } from 'vitest';
import { VirtualClock } from '../src/base/clock.ts';
import type { MetricsVersion } from '../src/metrics/registry.ts';
import { metricsFleet } from './support/metrics-fleet.ts';

const golden = (name: string) => new URL(`golden/metrics/exposition/${name}`, import.meta.url).pathname;

async function exposition(
  process: string,
  version: MetricsVersion = 'current',
  accept?: string,
): Promise<string> {
  const clock = new VirtualClock({ wallOriginMs: 1_700_000_000_000 });
  const fleet = metricsFleet({ clock, version, openMetrics: true });
  const { metrics, drive } = fleet.get(process)!;
  for (let round = 0; round < 2; round++) {
    drive();
    clock.advanceTo(clock.nowMs() + 1000);
  }
  return String((await metrics.scrape(accept)).body);
}

test.each(['frontend', 'worker', 'router', 'processor', 'planner', 'kvbm'])(
  'the whole exposition of the %s is as recorded',
  async (process) => {
    await expect(await exposition(process)).toMatchFileSnapshot(golden(`${process}.prom`));
  },
);

test.each(['frontend', 'worker'])(
  'the whole exposition of the %s in 1.0.2 is as recorded',
  async (process) => {
    await expect(await exposition(process, '1.0.2')).toMatchFileSnapshot(golden(`${process}-1.0.2.prom`));
  },
);

test('the whole exposition of the frontend in OpenMetrics is as recorded', async () => {
  const text = await exposition('frontend', 'current', 'application/openmetrics-text');
  await expect(text).toMatchFileSnapshot(golden('frontend.openmetrics'));
});
