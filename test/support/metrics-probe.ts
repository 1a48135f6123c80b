import { VirtualClock } from '../../src/base/clock.ts';
import { readEngineLoads } from '../../src/formats/engine-load/engine-load.ts';
import { parseExposition } from '../../src/formats/prometheus-text/parse.ts';
import { ProcessMetrics, type ProcessMetricsOptions } from '../../src/metrics/process-metrics.ts';

export { parseExposition, readEngineLoads };

/** Metrics of a process under a virtual clock, and what a scrape of them says. */
export class MetricsProbe {
  readonly clock = new VirtualClock();
  readonly metrics: ProcessMetrics;

  constructor(options: Partial<ProcessMetricsOptions> = {}) {
    this.metrics = new ProcessMetrics({ clock: this.clock, instanceId: 0x694d9d78249cbd10n, ...options });
  }

  /** Sample lines by name and label text, as `name{a="b"}`, with their values. */
  async samples(): Promise<ReadonlyMap<string, number>> {
    const body = String((await this.metrics.scrape()).body);
    const { families, problems } = parseExposition(body);
    if (problems.length > 0) throw new Error(JSON.stringify(problems));
    const lines = body.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    const values = [...families.values()].flatMap((family) => family.samples);
    if (lines.length !== values.length) throw new Error('not every line is a sample');
    return new Map(
      lines.map((line) => [
        line.slice(0, line.lastIndexOf(' ')),
        Number(line.slice(line.lastIndexOf(' ') + 1)),
      ]),
    );
  }

  async value(series: string): Promise<number | undefined> {
    return (await this.samples()).get(series);
  }

  /** Names and label sets of the series whose name begins so, in order. */
  async series(prefix: string): Promise<string[]> {
    return [...(await this.samples()).keys()].filter((name) => name.startsWith(prefix));
  }
}
