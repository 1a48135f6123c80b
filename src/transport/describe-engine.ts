import { fail } from '../base/errors.ts';
import { readSglangServerInfo } from '../formats/engine-load/sglang-server-info.ts';
import { type EngineFacts, type ModelCard, readModelList } from '../formats/openai/model-card.ts';
import { bareInstance, type EngineKind, type WorkerInstance } from './discovery.ts';
import { readEngineMetrics } from './engine-metrics.ts';
import type { EngineSpec } from './engine-spec.ts';
import type { HttpClient } from './http-client.ts';

interface LookOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
}

/** SGLang answers `/health` by generating a token; others of its kinds cost nothing. */
const CHEAP_HEALTH: readonly EngineKind[] = ['vllm', 'trtllm', 'kvasir'];

/**
 * Asks an engine what the spec leaves out: models and context length of `/v1/models`, and the facts that Kvasir
 * workers add there; cache sizes of other engines come from their metrics, which are read once: `known` is what was
 * found before. What the spec says wins. Throws if the engine is not ready to answer requests.
 */
export async function describeEngine(
  client: HttpClient,
  spec: EngineSpec,
  workerId: string,
  look: LookOptions,
  known?: WorkerInstance,
): Promise<WorkerInstance> {
  const { status, body } = await client.json(`${spec.url}/v1/models`, look);
  if (status === 401 || status === 403)
    throw unready(
      spec,
      `/v1/models answered ${status}: api-key-env=VARIABLE behind the address names its key`,
    );
  if (status !== 200) throw unready(spec, `/v1/models answered ${status}`);
  const cards = readModelList(body);
  if (cards.length === 0 && spec.model === undefined) throw unready(spec, '/v1/models lists no model');
  const kind = spec.kind ?? kindOf(cards);
  if (CHEAP_HEALTH.includes(kind)) {
    const health = await client.json(`${spec.url}/health`, look);
    if (health.status !== 200) throw unready(spec, `/health answered ${health.status}`);
  }
  const base =
    cards.find((card) => card.id === spec.model) ??
    cards.find((card) => card.parent === undefined) ??
    cards[0];
  const facts = base?.engine ?? (await cacheFacts(client, spec, kind, look, known));
  const kvEvents = spec.kvEvents ?? reachable(facts.kvEvents, spec.url);
  return {
    ...bareInstance(workerId, spec.url),
    models: modelNames(cards, spec.model),
    loras: cards.filter((card) => card.parent !== undefined).map((card) => card.id),
    kind,
    role: spec.role ?? facts.role ?? 'both',
    blockSize: spec.blockSize ?? facts.blockSize,
    dpSize: spec.dpSize ?? facts.dpSize ?? 1,
    kvEvents,
    replay: spec.replay ?? reachable(facts.replay, spec.url),
    snapshot: facts.snapshot === undefined ? undefined : new URL(facts.snapshot, `${spec.url}/`).href,
    totalKvBlocks: facts.totalKvBlocks,
    maxNumSeqs: facts.maxNumSeqs,
    maxNumBatchedTokens: facts.maxNumBatchedTokens,
    contextLength: base?.contextLength,
    tokenizer: spec.tokenizer ?? facts.tokenizer,
    bootstrapPort: spec.bootstrapPort ?? facts.bootstrapPort,
  };
}

/** What an engine tells elsewhere than in its models; nothing of one that does not. */
async function cacheFacts(
  client: HttpClient,
  { url }: EngineSpec,
  kind: EngineKind,
  look: LookOptions,
  known: WorkerInstance | undefined,
): Promise<EngineFacts> {
  if (known !== undefined) return factsOf(known);
  if (kind === 'openai' || kind === 'kvasir') return {};
  // An engine without either serves as well; its facts stay unknown.
  const info = kind === 'sglang' ? await serverInfo(client, url, look) : {};
  const loads = await readEngineMetrics(client, url, look).then(
    (metrics) => metrics.loads,
    () => [],
  );
  const measured = present({
    blockSize: loads[0]?.blockSize,
    totalKvBlocks: loads[0]?.totalBlocks,
    dpSize: loads.length > 0 ? loads.length : undefined,
  });
  return { ...measured, ...info };
}

/** SGLang's own account, by its newer name first: the older one is to go. */
async function serverInfo(client: HttpClient, url: string, look: LookOptions): Promise<EngineFacts> {
  for (const name of ['server_info', 'get_server_info']) {
    const answer = await client.json(`${url}/${name}`, look).catch(() => undefined);
    if (answer?.status === 200) return readSglangServerInfo(answer.body);
  }
  return {};
}

function factsOf(known: WorkerInstance): EngineFacts {
  const { blockSize, totalKvBlocks, dpSize, role, kvEvents, replay } = known;
  const { maxNumSeqs, maxNumBatchedTokens, bootstrapPort } = known;
  const sizes = { blockSize, totalKvBlocks, dpSize, maxNumSeqs, maxNumBatchedTokens };
  return present({ ...sizes, role, kvEvents, replay, bootstrapPort });
}

function present(facts: { readonly [K in keyof EngineFacts]: EngineFacts[K] | undefined }): EngineFacts {
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
}

/** What `owned_by` says of the engine. */
const OWNERS: readonly (readonly [owner: string, kind: EngineKind])[] = [
  ['kvasir', 'kvasir'],
  ['vllm', 'vllm'],
  ['sglang', 'sglang'],
  ['trtllm', 'trtllm'],
  ['tensorrt_llm', 'trtllm'],
];

function kindOf(cards: readonly ModelCard[]): EngineKind {
  const owners = cards.map((card) => card.ownedBy.toLowerCase());
  return OWNERS.find(([name]) => owners.some((owner) => owner.includes(name)))?.[1] ?? 'openai';
}

/** The given name first: the spec may name one of several, or give a name to an engine that lists none. */
function modelNames(cards: readonly ModelCard[], given: string | undefined): string[] {
  const listed = cards.filter((card) => card.parent === undefined).map((card) => card.id);
  return given === undefined ? listed : [given, ...listed.filter((name) => name !== given)];
}

/** An address as seen from here: a worker that binds to all interfaces is reached at its HTTP host. */
function reachable(address: string | undefined, url: string): string | undefined {
  const host = new URL(url).hostname;
  return address?.replace(/^tcp:\/\/(\*|0\.0\.0\.0|\[::\]):/, `tcp://${host}:`);
}

function unready(spec: EngineSpec, reason: string): Error {
  return fail('KV_ENGINE_UNREACHABLE', { url: spec.url, reason });
}
