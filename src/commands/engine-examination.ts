import { toError } from '../base/errors.ts';
import { parseExposition } from '../formats/prometheus-text/parse.ts';
import { describeEngine } from '../transport/describe-engine.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import { readEngineMetrics } from '../transport/engine-metrics.ts';
import type { EngineSpec } from '../transport/engine-spec.ts';
import type { HttpClient } from '../transport/http-client.ts';
import { type EventExamination, examineEvents } from './event-examination.ts';
import { type Finding, ok, warn, wrong } from './finding.ts';
import type { PromptEncoders } from './prompt-encoders.ts';
import { examineTokenizer } from './tokenizer-examination.ts';

export interface ExaminationParts {
  readonly client: HttpClient;
  readonly encoders: PromptEncoders;
  /** Tokenizer of engines that name none. */
  readonly tokenizer: string | undefined;
  readonly timeoutMs: number;
  readonly wallMs: () => number;
  /** Prompts that no engine has seen, the same for all engines. */
  readonly probes: readonly string[];
  /** Whether events that an engine hands out but once may be taken. */
  readonly takesEvents: boolean;
  readonly signal: AbortSignal;
}

/** What was found out about one engine. */
export interface EngineExamination {
  readonly url: string;
  /** Undefined if it does not answer. */
  readonly instance: WorkerInstance | undefined;
  readonly findings: readonly Finding[];
  /** The engine's hash of a first block by the block's tokens. */
  readonly hashes: EventExamination['hashes'];
}

/** The `Date` header has whole seconds. */
const DATE_RESOLUTION_MS = 1000;
const MAX_SKEW_MS = 2000;

/** Looks at one engine from all sides; what fails is a finding, never thrown. */
export async function examineEngine(spec: EngineSpec, parts: ExaminationParts): Promise<EngineExamination> {
  const { client, timeoutMs, signal } = parts;
  const { url } = spec;
  const look = { timeoutMs, signal };
  let instance: WorkerInstance;
  let own: WorkerInstance;
  try {
    instance = await describeEngine(client, spec, '0', look);
    own = await describeEngine(client, { url, ...(spec.kind && { kind: spec.kind }) }, '0', look).catch(
      // One that lists no model serves by the name that it is given.
      (): WorkerInstance => ({ ...instance, blockSize: undefined }),
    );
  } catch (thrown) {
    const mend = 'Start the engine or wait until it is ready; correct the address of --engine.';
    const findings = [wrong('reachable', toError(thrown).message, mend)];
    return { url, instance: undefined, findings, hashes: new Map() };
  }
  const events = await examineEvents(instance, parts);
  const findings = [
    ok('reachable', `${instance.kind}, role ${instance.role}, ${instance.dpSize} rank(s)`),
    examineModel(spec, own),
    examineBlockSize(spec, own, events.blockSizes),
    ...(await examineTokenizer(instance, parts)),
    ...events.findings,
    ...(await examineMetrics(instance, parts)),
  ];
  return { url, instance, findings, hashes: events.hashes };
}

function examineModel({ model }: EngineSpec, { models, loras }: WorkerInstance): Finding {
  const listed = [...models, ...loras];
  if (model === undefined || listed.includes(model)) return ok('model', model ?? listed[0] ?? '');
  const mend = `Write model=${listed[0] ?? 'NAME'}, or start the engine with --served-model-name ${model}.`;
  return wrong('model', `the engine serves ${listed.join(', ') || 'none'}, not ${model}`, mend);
}

function examineBlockSize(
  { blockSize }: EngineSpec,
  own: WorkerInstance,
  published: ReadonlySet<number>,
): Finding {
  const check = 'block size';
  const [seen] = published;
  const actual = seen ?? own.blockSize;
  if (published.size > 1)
    return wrong(
      check,
      `events have blocks of ${[...published].join(' and ')} tokens`,
      'Give all ranks one block size.',
    );
  if (seen !== undefined && own.blockSize !== undefined && seen !== own.blockSize) {
    const mend = `Write block-size=${seen}: what the events say is what is routed by.`;
    if (blockSize !== seen)
      return wrong(check, `the engine says ${own.blockSize} tokens, its events ${seen}`, mend);
  }
  if (blockSize !== undefined && actual !== undefined && blockSize !== actual)
    return wrong(
      check,
      `block-size=${blockSize} is given, the engine has ${actual}`,
      `Write block-size=${actual}.`,
    );
  const known = blockSize ?? actual;
  if (known !== undefined) return ok(check, `${known} tokens`);
  return warn(
    check,
    'is not known',
    'Write block-size=N behind the address, with the --block-size of the engine.',
  );
}

async function examineMetrics({ url }: WorkerInstance, parts: ExaminationParts): Promise<Finding[]> {
  const { client, timeoutMs, signal, wallMs } = parts;
  const startMs = wallMs();
  const mend = 'Serve /metrics, for vLLM without --disable-log-stats.';
  try {
    const { text, loads, date } = await readEngineMetrics(client, url, { timeoutMs, signal });
    const clock = examineClock(date, startMs, wallMs());
    const parsed = parseExposition(text);
    const families = `${parsed.families.size} families`;
    const metrics =
      loads.length > 0
        ? ok('metrics', `${families}, load of ${loads.length} rank(s)`)
        : warn('metrics', `${families}, none that tells the load of an engine`, mend);
    return [metrics, ...cacheSettings(parsed), ...clock];
  } catch (thrown) {
    return [warn('metrics', toError(thrown).message, mend)];
  }
}

/** vLLM shows its cache's settings as labels. */
function cacheSettings({ families }: ReturnType<typeof parseExposition>): Finding[] {
  const labels = families.get('vllm:cache_config_info')?.samples[0]?.labels ?? {};
  const { enable_prefix_caching: caching, prefix_caching_hash_algo: algorithm } = labels;
  const findings: Finding[] = [];
  if (caching !== undefined && /^(false|0|none)$/i.test(caching))
    findings.push(
      wrong('prefix cache', 'the engine reuses no prefixes', 'Start it with --enable-prefix-caching.'),
    );
  if (algorithm === 'builtin')
    findings.push(
      warn(
        'hashes',
        'the engine hashes blocks with Python’s own hash, which differs between processes',
        'Start it with --prefix-caching-hash-algo sha256_cbor, or set PYTHONHASHSEED=0 for all engines.',
      ),
    );
  else if (algorithm !== undefined) findings.push(ok('hashes', `by ${algorithm}`));
  return findings;
}

function examineClock(date: string | undefined, startMs: number, endMs: number): Finding[] {
  const serverMs = date === undefined ? Number.NaN : Date.parse(date);
  if (Number.isNaN(serverMs)) return [];
  // Any time from the header's second to the next agrees with it.
  const skewMs = Math.max(serverMs - endMs, startMs - (serverMs + DATE_RESOLUTION_MS), 0);
  if (skewMs <= MAX_SKEW_MS) return [ok('clock', 'agrees with this machine’s')];
  const which = serverMs > endMs ? 'ahead of' : 'behind';
  const mend =
    'Synchronise both machines (chrony, systemd-timesyncd): ages of events and traces depend on it.';
  return [wrong('clock', `is ${(skewMs / 1000).toFixed(1)} s ${which} this machine’s`, mend)];
}
