import { ENGINE_KINDS, type EngineKind, type WorkerInstance } from './discovery.ts';

/** Written and read by every version that understands the others' records. */
const VERSION = 1;

/** A worker as it is written where others find it. */
export interface InstanceRecord {
  readonly instance: WorkerInstance;
  /** How long it counts as there after it was written last. */
  readonly leaseMs: number;
}

export function writeInstanceRecord({ instance, leaseMs }: InstanceRecord): string {
  return JSON.stringify({ version: VERSION, leaseMs, ...instance });
}

/** Undefined for a text that is no record of a worker: facts that are not what they should be are left out. */
export function readInstanceRecord(source: string): InstanceRecord | undefined {
  let raw: Record<string, unknown>;
  try {
    raw = JSON.parse(source);
  } catch {
    return undefined;
  }
  if (typeof raw !== 'object' || raw === null || raw.version !== VERSION) return undefined;
  const { workerId, url, leaseMs } = raw;
  if (typeof workerId !== 'string' || !/^\d{1,20}$/.test(workerId)) return undefined;
  if (typeof url !== 'string' || !/^https?:\/\//.test(url) || !URL.canParse(url)) return undefined;
  const lease = count(leaseMs);
  if (lease === undefined) return undefined;
  const instance: WorkerInstance = {
    workerId,
    url,
    models: texts(raw.models),
    loras: texts(raw.loras),
    kind: ENGINE_KINDS.find((kind) => kind === raw.kind) ?? ('openai' satisfies EngineKind),
    role: (['prefill', 'decode'] as const).find((role) => role === raw.role) ?? 'both',
    blockSize: count(raw.blockSize),
    dpSize: Math.min(count(raw.dpSize) ?? 1, MAX_RANKS),
    kvEvents: text(raw.kvEvents),
    replay: text(raw.replay),
    snapshot: text(raw.snapshot),
    totalKvBlocks: count(raw.totalKvBlocks),
    maxNumSeqs: count(raw.maxNumSeqs),
    maxNumBatchedTokens: count(raw.maxNumBatchedTokens),
    contextLength: count(raw.contextLength),
    tokenizer: text(raw.tokenizer),
    bootstrapPort: count(raw.bootstrapPort),
  };
  return { instance, leaseMs: lease };
}

const MAX_RANKS = 1024;

function count(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string' && each !== '') : [];
}
