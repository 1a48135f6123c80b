/** What an engine tells about itself beyond the OpenAI fields; Kvasir workers put it into their model card. */
export interface EngineFacts {
  /** Tokens per KV block. */
  readonly blockSize?: number;
  /** Data-parallel ranks, numbered from 0. */
  readonly dpSize?: number;
  readonly role?: EngineRole;
  /** Address of the ZMQ publisher of KV events of rank 0. */
  readonly kvEvents?: string;
  readonly replay?: string;
  /** URL that answers with all held blocks. */
  readonly snapshot?: string;
  /** Per rank. */
  readonly totalKvBlocks?: number;
  readonly maxNumSeqs?: number;
  readonly maxNumBatchedTokens?: number;
  /** `byte`, or the path of a tokenizer. */
  readonly tokenizer?: string;
  /** Where a prefilling engine meets the decoding ones, by SGLang's protocol. */
  readonly bootstrapPort?: number;
}

export type EngineRole = 'prefill' | 'decode' | 'both';

export interface ModelCard {
  readonly id: string;
  readonly ownedBy: string;
  /** Longest prompt and answer together, in tokens. */
  readonly contextLength: number | undefined;
  /** The base model, of a LoRA adapter. */
  readonly parent: string | undefined;
  /** Present on the cards of Kvasir workers. */
  readonly engine: EngineFacts | undefined;
}

/** The answer of `GET /v1/models`. */
export function modelList(cards: readonly (ModelCard & { readonly created: number })[]): object {
  return {
    object: 'list',
    data: cards.map((card) => ({
      id: card.id,
      object: 'model',
      created: card.created,
      owned_by: card.ownedBy,
      root: card.parent ?? card.id,
      parent: card.parent ?? null,
      max_model_len: card.contextLength ?? null,
      ...(card.engine && { kvasir: card.engine }),
    })),
  };
}

/** Reads the answer of any engine's `GET /v1/models`; entries without an id are left out. */
export function readModelList(body: unknown): ModelCard[] {
  const data = (body as { data?: unknown } | null)?.data;
  if (!Array.isArray(data)) return [];
  return data.flatMap((entry: unknown) => {
    if (typeof entry !== 'object' || entry === null) return [];
    const { id, owned_by, max_model_len, parent, kvasir } = entry as Record<string, unknown>;
    if (typeof id !== 'string' || id === '') return [];
    return [
      {
        id,
        ownedBy: typeof owned_by === 'string' ? owned_by : '',
        contextLength: count(max_model_len),
        parent: text(parent),
        engine: typeof kvasir === 'object' && kvasir !== null ? readFacts(kvasir) : undefined,
      },
    ];
  });
}

function readFacts(facts: object): EngineFacts {
  const raw = facts as Record<string, unknown>;
  const known = {
    blockSize: count(raw.blockSize),
    dpSize: count(raw.dpSize),
    role: ['prefill', 'decode', 'both'].find((role) => role === raw.role) as EngineRole | undefined,
    kvEvents: text(raw.kvEvents),
    replay: text(raw.replay),
    snapshot: text(raw.snapshot),
    totalKvBlocks: count(raw.totalKvBlocks),
    maxNumSeqs: count(raw.maxNumSeqs),
    maxNumBatchedTokens: count(raw.maxNumBatchedTokens),
    tokenizer: text(raw.tokenizer),
    bootstrapPort: count(raw.bootstrapPort),
  };
  return Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined));
}

function count(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
