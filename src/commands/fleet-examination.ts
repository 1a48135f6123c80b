import { toError } from '../base/errors.ts';
import type { HttpClient } from '../transport/http-client.ts';
import type { EngineExamination } from './engine-examination.ts';
import { type Finding, ok, warn, wrong } from './finding.ts';

/** What must agree between engines of one model. */
export function examineFleet(engines: readonly EngineExamination[]): Finding[] {
  const findings: Finding[] = [];
  const byModel = new Map<string, EngineExamination[]>();
  for (const engine of engines) {
    const model = engine.instance?.models[0];
    if (model === undefined) continue;
    byModel.set(model, [...(byModel.get(model) ?? []), engine]);
  }
  for (const [model, group] of byModel) {
    if (group.length < 2) continue;
    const sizes = new Set(
      group.map(({ instance }) => instance!.blockSize).filter((size) => size !== undefined),
    );
    if (sizes.size > 1) {
      const mend = 'Start all engines of a model with one --block-size.';
      findings.push(wrong('block sizes', `of ${model} are ${[...sizes].join(' and ')}`, mend));
    }
    findings.push(...compareHashes(model, group));
  }
  return findings;
}

function compareHashes(model: string, group: readonly EngineExamination[]): Finding[] {
  const [first, ...others] = group;
  let common = 0;
  for (const { hashes, url } of others)
    for (const [tokens, hash] of hashes) {
      const known = first!.hashes.get(tokens);
      if (known === undefined) continue;
      common++;
      if (known === hash) continue;
      const mend =
        'Routing does not need it; to share KV between engines set PYTHONHASHSEED=0 and one --prefix-caching-hash-algo.';
      return [warn('hashes', `${first!.url} and ${url} hash equal blocks of ${model} differently`, mend)];
    }
  return common > 0 ? [ok('hashes', `engines of ${model} hash equal blocks alike`)] : [];
}

interface Target {
  readonly scrapeUrl?: string;
  readonly health?: string;
  readonly lastError?: string;
}

/** Whether a Prometheus answers and scrapes the engines. */
export async function examinePrometheus(
  url: string,
  engines: readonly string[],
  { client, timeoutMs }: { readonly client: HttpClient; readonly timeoutMs: number },
): Promise<Finding[]> {
  const base = url.replace(/\/+$/, '');
  const mend = 'Start Prometheus, or correct --prometheus-url.';
  let targets: readonly Target[];
  try {
    const { status, body } = await client.json(`${base}/api/v1/targets?state=active`, { timeoutMs });
    const active = (body as { data?: { activeTargets?: unknown } } | undefined)?.data?.activeTargets;
    if (status !== 200 || !Array.isArray(active))
      return [wrong('prometheus', `${base} answered ${status}, and not as Prometheus does`, mend)];
    targets = active as readonly Target[];
  } catch (thrown) {
    return [wrong('prometheus', toError(thrown).message, mend)];
  }
  const scrapes = engines.map((engine) => examineScrape(engine, targets));
  return [ok('prometheus', `${targets.length} target(s)`), ...scrapes];
}

function examineScrape(engine: string, targets: readonly Target[]): Finding {
  const { host } = new URL(engine);
  const target = targets.find(
    ({ scrapeUrl = '' }) => URL.canParse(scrapeUrl) && new URL(scrapeUrl).host === host,
  );
  if (target === undefined)
    return warn(
      'scrape',
      `${host} is no target`,
      `Add ${host}, or the --system-port of its worker, to scrape_configs.`,
    );
  if (target.health === 'up') return ok('scrape', `${target.scrapeUrl} is up`);
  const reason =
    target.lastError === undefined || target.lastError === '' ? 'has not been scraped' : target.lastError;
  return wrong(
    'scrape',
    `${target.scrapeUrl} is ${target.health ?? 'unknown'}: ${reason}`,
    'Let Prometheus reach it.',
  );
}
