import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { fail, toError } from '../base/errors.ts';
import { SeededRandom } from '../base/random.ts';
import { choice, list, number } from '../base/settings.ts';
import { type DecisionHistory, type PastDecision, readDecisions } from '../kv/evaluation/decision-history.ts';
import { PolicyJudge, type Verdict } from '../kv/evaluation/judge-policy.ts';
import { MEASURES, measured } from '../kv/evaluation/latency-model.ts';
import { makePolicy, type PolicyName } from '../kv/policies/make-policy.ts';
import { readRouterConfig } from '../kv/read-config.ts';
import { ROUTER_SETTINGS } from '../kv/settings.ts';
import { aligned } from '../replay/comparison-table.ts';
import { defineCommand } from './command.ts';

/** Those that choose by what they see of the candidates, and keep nothing in mind that a log does not show. */
const JUDGED = ['kv', 'kv-1.0', 'least-loaded', 'power-of-two', 'random'] as const;

// Below these an estimate is the model's, or that of a few decisions.
const WEAK_SUPPORT = 0.9;
const WEAK_SIZE = 50;

const { routerMode: _mode, routerSeed: _seed, ...ROUTING } = ROUTER_SETTINGS;

const SETTINGS = {
  log: list({ placeholder: 'FILE', help: 'decision logs, oldest first, of --decision-log-file or replay' }),
  policy: list({
    default: ['kv', 'least-loaded', 'random'],
    help: `policies to judge: ${JUDGED.join(', ')}`,
  }),
  measure: choice({ choices: MEASURES, default: 'latency', help: 'what they are judged by; less is better' }),
  clip: number({ default: 20, min: 1, help: 'largest weight of a decision in the clipped estimate' }),
  ...ROUTING,
};

export const command = defineCommand({
  name: 'policy evaluate',
  summary: 'judge routing policies by the logged decisions of another one',
  details: `Examples:
  kvasir frontend --engine ... --router-mode thompson --decision-log-file decisions.jsonl
  kvasir policy evaluate --log decisions.jsonl.1 --log decisions.jsonl --policy kv,least-loaded

Support says how much of what a policy would do the one that ran might have done: where it is low, only the
model behind the doubly robust estimate speaks. Estimates are of single decisions at the loads that the log met, not of
the loads that another policy would have made; kvasir replay answers that.`,
  settings: SETTINGS,
  async run(settings, { interactive, print, log }) {
    const names = settings.policy.map(judgedName);
    if (settings.log.length === 0)
      throw fail('KV_USAGE', { reason: 'no log is named', mend: 'Give --log FILE, of --decision-log-file.' });
    const { decisions, left } = readDecisions(await readLines(settings.log), settings.log.join(', '));
    if (decisions.length < 2)
      throw fail('KV_FILE_MALFORMED', {
        path: settings.log.join(', '),
        reason: `holds ${decisions.length} decisions that an answer came of`,
        mend: 'Let requests end before the log is read.',
      });
    const { weights } = readRouterConfig({ ...settings, routerMode: 'kv', routerSeed: undefined });
    const judge = new PolicyJudge(decisions, { ...settings, weights });
    const { blockSize } = decisions[0]!;
    const verdicts = names.map((name) => {
      return judge.judge(makePolicy(name, { blockSize, random: new SeededRandom(1) }))!;
    });
    for (const { policy, support, effectiveSize } of verdicts)
      if (support < WEAK_SUPPORT || effectiveSize < WEAK_SIZE)
        log.warn({ policy, support, effectiveSize }, 'the log hardly shows what this policy would do');
    const average =
      decisions.reduce((sum, each) => sum + measured(each, settings.measure), 0) / decisions.length;
    if (interactive) for (const line of table(decisions, left, average, verdicts)) print(line);
    else print(JSON.stringify(report(decisions, left, average, settings.measure, verdicts)));
    return 0;
  },
});

function judgedName(name: string): PolicyName {
  const known = JUDGED.find((each) => each === name);
  if (known !== undefined) return known;
  throw fail('KV_SETTING_INVALID', {
    setting: '--policy',
    value: name,
    reason: 'cannot be judged by a log',
    mend: `Choose from ${JUDGED.join(', ')}; policies that learn can be replayed (kvasir replay).`,
  });
}

async function readLines(paths: readonly string[]): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const path of paths) {
    try {
      for await (const line of createInterface({ input: createReadStream(path) })) lines.push(line);
    } catch (cause) {
      throw fail('KV_FILE_UNREADABLE', { path, reason: toError(cause).message }, cause);
    }
  }
  return lines;
}

const POLICY = ({ policy }: PastDecision): string => policy;

function report(
  decisions: readonly PastDecision[],
  left: DecisionHistory['left'],
  logged: number,
  measure: string,
  verdicts: readonly Verdict[],
): object {
  const shown = ({ value, halfWidth }: Verdict['ips']) => ({
    value: Number.isFinite(value) ? value : null,
    half_width: Number.isFinite(halfWidth) ? halfWidth : null,
  });
  return {
    schema: 'kvasir.policy-evaluation.v1',
    measure,
    decisions: decisions.length,
    left_out: left,
    logged: { policies: [...new Set(decisions.map(POLICY))], mean: logged },
    policies: verdicts.map((verdict) => ({
      policy: verdict.policy,
      support: verdict.support,
      effective_size: verdict.effectiveSize,
      largest_weight: verdict.largestWeight,
      ips: shown(verdict.ips),
      clipped_ips: shown(verdict.clipped),
      self_normalised_ips: shown(verdict.selfNormalised),
      doubly_robust: shown(verdict.doublyRobust),
    })),
  };
}

function table(
  decisions: readonly PastDecision[],
  left: DecisionHistory['left'],
  logged: number,
  verdicts: readonly Verdict[],
): readonly string[] {
  const cell = ({ value, halfWidth }: Verdict['ips']): string =>
    Number.isFinite(value) ? `${digits(value)} ±${digits(halfWidth)}` : '-';
  const rows = verdicts.map((verdict) => [
    verdict.policy,
    `${(100 * verdict.support).toFixed(1)} %`,
    verdict.effectiveSize.toFixed(0),
    cell(verdict.ips),
    cell(verdict.clipped),
    cell(verdict.selfNormalised),
    cell(verdict.doublyRobust),
  ]);
  const head = ['policy', 'support', 'worth', 'IPS', 'clipped', 'self-normalised', 'doubly robust'];
  const omitted = Object.entries(left).filter(([, count]) => count > 0);
  return [
    `${decisions.length} decisions of ${[...new Set(decisions.map(POLICY))].join(', ')}: ${digits(logged)} on average`,
    ...(omitted.length > 0
      ? [`left out: ${omitted.map(([why, count]) => `${count} ${why}`).join(', ')}`]
      : []),
    ...aligned([head, ...rows]),
  ];
}

function digits(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
