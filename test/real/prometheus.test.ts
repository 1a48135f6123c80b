import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RealClock, VirtualClock } from '../../src/base/clock.ts';
import {
  type ConsumerCatalogue,
  failureOf,
  foreignEngineText,
  readConsumerCatalogue,
} from '../support/consumer-queries.ts';
import { metricsFleet } from '../support/metrics-fleet.ts';
import { Prometheus, promtoolCheck, type ScrapeTarget } from '../support/prometheus.ts';
import { realPart } from '../support/real-part.ts';
import { sharedFile } from '../support/shared-data.ts';
import { eventually } from '../support/until.ts';

const DRIVE_EVERY_MS = 200;
const ANSWERS_WITHIN_MS = 60_000;

describe.skipIf(realPart('promtool').skip)('promtool', () => {
  test('reads every exposition and finds fault with inherited names only', async () => {
    const expected = readFileSync(new URL('../golden/metrics/inherited-lint.txt', import.meta.url), 'utf8');
    const findings = new Set<string>();
    for (const [process, { metrics, drive }] of metricsFleet({ clock: new VirtualClock() })) {
      for (let round = 0; round < 3; round++) drive();
      const checked = promtoolCheck(String((await metrics.scrape()).body));
      expect([process, checked.parsed]).toEqual([process, true]);
      for (const finding of checked.findings) findings.add(finding);
    }
    expect([...findings].sort()).toEqual(expected.trimEnd().split('\n').sort());
    expect([...findings].filter((finding) => finding.startsWith('kvasir_'))).toEqual([]);
  });
});

/** The fleet's processes, each on a port of its own, under steady traffic. */
class ServedFleet {
  readonly targets: ScrapeTarget[] = [];
  readonly #servers: Server[] = [];
  #timer: NodeJS.Timeout | undefined;

  async start(catalogue: ConsumerCatalogue | undefined, openMetrics = false): Promise<void> {
    let round = 0;
    const engineText = () => (catalogue === undefined ? '' : foreignEngineText(catalogue, round));
    const fleet = metricsFleet({ clock: new RealClock(), engineText, openMetrics });
    for (const [name, { metrics }] of fleet) {
      const url = await this.#serve(async (accept) => metrics.scrape(accept));
      const service = name === 'frontend' ? { dynamo_namespace: 'dynamo' } : {};
      const job = `dynamo-${name}`;
      this.targets.push({ job, url, labels: { namespace: 'dynamo', pod: `${name}-0`, ...service } });
    }
    const pods = [...fleet.keys()].map(
      (name) => `kube_pod_status_phase{namespace="dynamo",pod="${name}-0",phase="Running"} 1\n`,
    );
    const url = await this.#serve(async () => ({
      contentType: 'text/plain; version=0.0.4',
      body: pods.join(''),
    }));
    this.targets.push({ job: 'kube-state-metrics', url });
    this.#timer = setInterval(() => {
      round++;
      for (const { drive } of fleet.values()) drive();
    }, DRIVE_EVERY_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    for (const server of this.#servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  async #serve(
    scrape: (
      accept: string | undefined,
    ) => Promise<{ readonly contentType: string; readonly body: string | Buffer }>,
  ): Promise<string> {
    const server = createServer((request, response) => {
      void scrape(request.headers.accept).then(({ contentType, body }) =>
        response.writeHead(200, { 'content-type': contentType }).end(body),
      );
    });
    this.#servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
}

const cataloguePath = sharedFile('spec/metrics-catalog.json');
const prometheusPart = realPart('prometheus');

describe.skipIf(prometheusPart.skip)('a real Prometheus', () => {
  const catalogue = cataloguePath === undefined ? undefined : readConsumerCatalogue(cataloguePath);
  const fleet = new ServedFleet();
  let prometheus: Prometheus;

  beforeAll(async () => {
    await fleet.start(catalogue);
    const rules = catalogue?.recording_rules ?? [];
    prometheus = await Prometheus.start({ targets: fleet.targets, rules });
  });

  afterAll(async () => {
    await prometheus?.stop();
    await fleet.stop();
  });

  test('scrapes every process without an error', async () => {
    await eventually(
      'every target was scraped',
      async () => [...(await prometheus.targets()).values()].every(({ health }) => health !== 'unknown'),
      ANSWERS_WITHIN_MS,
    );
    const errors = [...(await prometheus.targets())].filter(([, { health }]) => health !== 'up');
    expect(errors).toEqual([]);
  });

  test.skipIf(cataloguePath === undefined)(
    'answers every query of every consumer with finite values',
    async () => {
      const queries = catalogue?.consumer_queries.filter(({ scope }) => scope !== 'external') ?? [];
      expect(queries.length).toBeGreaterThan(300);
      let failures: (string | undefined)[] = [];
      const allAnswered = async (): Promise<boolean> => {
        failures = [];
        for (const query of queries) failures.push(await failureOf(prometheus, query));
        failures = failures.filter((failure) => failure !== undefined);
        return failures.length === 0;
      };
      await eventually(() => failures.join('\n'), allAnswered, ANSWERS_WITHIN_MS);
    },
  );

  test.skipIf(cataloguePath === undefined)(
    'computes used tokens from a usage of 0.5 with the alias rule',
    async () => {
      const used = await prometheus.query('vllm:num_used_tokens{pod="worker-0"}');
      expect(used.map(({ value }) => value)).toEqual([567_816]);
    },
  );
});

describe.skipIf(prometheusPart.skip)('a real Prometheus that asks for OpenMetrics', () => {
  test('gets it with exemplars, and every target stays up', async () => {
    const fleet = new ServedFleet();
    await fleet.start(undefined, true);
    const prometheus = await Prometheus.start({ targets: fleet.targets });
    try {
      const answered = async () =>
        (await prometheus.query('sum(rate(dynamo_frontend_output_tokens_total[5s])) > 0')).length > 0;
      await eventually('there is a rate of output tokens', answered, ANSWERS_WITHIN_MS);
      const down = [...(await prometheus.targets())].filter(([, { health }]) => health !== 'up');
      expect(down).toEqual([]);
      const le = await prometheus.labelValues('le', 'dynamo_frontend_request_duration_seconds_bucket');
      expect(le).toContain('2.0');
    } finally {
      await prometheus.stop();
      await fleet.stop();
    }
  });
});
