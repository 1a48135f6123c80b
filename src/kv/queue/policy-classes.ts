import { fail } from '../../base/errors.ts';
import { UNKNOWN_BATCHED_TOKENS } from '../busy.ts';
import { QUEUE_POLICIES, type QueuePolicy } from './queue-order.ts';

/** One queue among those of a router. */
export interface PolicyClass {
  readonly name: string;
  /** Named by the request (`x-dynamo-meta-policy-class`). */
  readonly family: string;
  /** Takes only requests of this bucket of uncached tokens; all of its family if absent. */
  readonly cacheBucket?: string | undefined;
  readonly queuePolicy: QueuePolicy;
  /** Its share of dispatched tokens against other classes, in tokens a turn. */
  readonly quantum: number;
  /** Requests wait while every eligible rank has more prompt tokens than this to compute. */
  readonly busyThreshold?: number | undefined;
  /** The same as a share of the tokens that the engine computes in one pass. */
  readonly busyThresholdFrac?: number | undefined;
  readonly requestLimitPerWorker?: number | undefined;
  readonly islLimitPerWorker?: number | undefined;
  readonly cachedTokenLimitPerWorker?: number | undefined;
}

export interface QueueConfig {
  readonly classes: readonly PolicyClass[];
  readonly defaultFamily: string;
  /** By rising `minTokens`, the first 0. */
  readonly buckets: readonly { readonly minTokens: number; readonly bucket: string }[];
}

const DEFAULT_QUANTUM = 8192;

/** One queue for all requests; `thresholdFrac` is a share of the tokens an engine computes in one pass. */
export function singleClass(queuePolicy: QueuePolicy, thresholdFrac: number | undefined): QueueConfig {
  const only = { name: 'default', family: 'default', queuePolicy, quantum: DEFAULT_QUANTUM };
  return {
    classes: [{ ...only, busyThresholdFrac: thresholdFrac }],
    defaultFamily: 'default',
    buckets: [],
  };
}

/** Whether any request can ever have to wait. */
export function canQueue({ classes }: QueueConfig): boolean {
  return classes.some(
    ({ busyThreshold, busyThresholdFrac }) => busyThreshold !== undefined || busyThresholdFrac !== undefined,
  );
}

/** Whether a rank with so many prompt tokens to compute gets no further requests of a class. */
export function isHeldBack(
  { busyThreshold, busyThresholdFrac }: PolicyClass,
  tokens: number,
  batchedTokens: number = UNKNOWN_BATCHED_TOKENS,
): boolean {
  if (busyThreshold !== undefined && tokens > busyThreshold) return true;
  return busyThresholdFrac !== undefined && tokens > busyThresholdFrac * batchedTokens;
}

/** Index of the class that takes a request: family and bucket, else family alone, else that of the default family. */
export function classOf(config: QueueConfig, family: string | undefined, uncachedTokens: number): number {
  const { classes, defaultFamily, buckets } = config;
  const bucket = buckets.findLast(({ minTokens }) => uncachedTokens >= minTokens)?.bucket;
  const find = (wanted: string): number => {
    const exact = classes.findIndex((each) => each.family === wanted && each.cacheBucket === bucket);
    return exact >= 0
      ? exact
      : classes.findIndex((each) => each.family === wanted && each.cacheBucket === undefined);
  };
  const named = find(family ?? defaultFamily);
  return Math.max(0, named >= 0 ? named : find(defaultFamily));
}

/** Reads a policy document (parsed YAML); `models` entries replace the top level for their model. */
export function readQueueConfig(document: unknown, model?: string): QueueConfig {
  const root = mapping(document, 'the policy document');
  const models = root.models === undefined ? {} : mapping(root.models, 'models');
  const chosen =
    model !== undefined && models[model] !== undefined ? mapping(models[model], `models.${model}`) : {};
  const own = { ...root, ...chosen };
  const classes = sequence(own.policy_classes, 'policy_classes').map((item, i) =>
    readClass(mapping(item, `policy_classes[${i}]`), `policy_classes[${i}]`),
  );
  if (classes.length === 0)
    throw wrong('policy_classes', own.policy_classes, 'names no class', 'List at least one.');
  const names = new Set(classes.map(({ name }) => name));
  if (names.size < classes.length)
    throw wrong(
      'policy_classes',
      classes.map(({ name }) => name).join(', '),
      'has a name twice',
      'Rename one.',
    );
  const defaultFamily = word(own.default_policy_family ?? classes[0]!.family, 'default_policy_family');
  if (!classes.some(({ family }) => family === defaultFamily))
    throw wrong('default_policy_family', defaultFamily, 'has no class', 'Name the family of a class.');
  return { classes, defaultFamily, buckets: readBuckets(own.uncached_isl_buckets) };
}

function readBuckets(value: unknown): QueueConfig['buckets'] {
  if (value === undefined) return [];
  const buckets = sequence(value, 'uncached_isl_buckets').map((item, i) => {
    const at = `uncached_isl_buckets[${i}]`;
    const entry = mapping(item, at);
    return {
      minTokens: amount(entry.min_tokens, `${at}.min_tokens`),
      bucket: word(entry.bucket, `${at}.bucket`),
    };
  });
  const rising = buckets.every(({ minTokens }, i) =>
    i === 0 ? minTokens === 0 : minTokens > buckets[i - 1]!.minTokens,
  );
  if (rising) return buckets;
  const given = buckets.map(({ minTokens }) => minTokens).join(', ');
  throw wrong('uncached_isl_buckets', given, 'do not rise from 0', 'Start at 0 and sort by min_tokens.');
}

const CLASS_KEYS = [
  'name',
  'policy_family',
  'cache_bucket',
  'queue_policy',
  'quantum',
  'prefill_busy_threshold',
  'prefill_busy_threshold_frac',
  'request_queue_limit_per_worker',
  'raw_isl_queue_limit_per_worker',
  'cached_token_queue_limit_per_worker',
];

function readClass(entry: Readonly<Record<string, unknown>>, at: string): PolicyClass {
  const unknownKey = Object.keys(entry).find((key) => !CLASS_KEYS.includes(key));
  if (unknownKey !== undefined)
    throw wrong(
      `${at}.${unknownKey}`,
      entry[unknownKey],
      'is not known',
      `Known keys: ${CLASS_KEYS.join(', ')}.`,
    );
  const optional = (key: string): number | undefined =>
    entry[key] === undefined ? undefined : amount(entry[key], `${at}.${key}`);
  const name = word(entry.name, `${at}.name`);
  const quantum = amount(entry.quantum ?? DEFAULT_QUANTUM, `${at}.quantum`);
  if (quantum <= 0) throw wrong(`${at}.quantum`, quantum, 'is not above 0', 'Give tokens a turn.');
  const queuePolicy = word(entry.queue_policy ?? 'fcfs', `${at}.queue_policy`) as QueuePolicy;
  if (!QUEUE_POLICIES.includes(queuePolicy))
    throw wrong(
      `${at}.queue_policy`,
      queuePolicy,
      'is no queue policy',
      `Choose from ${QUEUE_POLICIES.join(', ')}.`,
    );
  return {
    name,
    family: word(entry.policy_family ?? name, `${at}.policy_family`),
    cacheBucket:
      entry.cache_bucket === undefined ? undefined : word(entry.cache_bucket, `${at}.cache_bucket`),
    queuePolicy,
    quantum,
    busyThreshold: optional('prefill_busy_threshold'),
    busyThresholdFrac: optional('prefill_busy_threshold_frac'),
    requestLimitPerWorker: optional('request_queue_limit_per_worker'),
    islLimitPerWorker: optional('raw_isl_queue_limit_per_worker'),
    cachedTokenLimitPerWorker: optional('cached_token_queue_limit_per_worker'),
  };
}

function mapping(value: unknown, at: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw wrong(at, value, 'is not a mapping', 'Give keys with values.');
}

function sequence(value: unknown, at: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw wrong(at, value, 'is not a list', 'Give a list.');
}

function word(value: unknown, at: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw wrong(at, value, 'is not a name', 'Give a name.');
}

function amount(value: unknown, at: string): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  throw wrong(at, value, 'is not a number of 0 or more', 'Give a number.');
}

function wrong(at: string, value: unknown, reason: string, mend: string): Error {
  const shown = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing');
  return fail('KV_SETTING_INVALID', {
    setting: `${at} of the router policy config`,
    value: shown,
    reason,
    mend,
  });
}
