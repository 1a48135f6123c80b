import { setTimeout as sleep } from 'node:timers/promises';
import { RealClock } from '../base/clock.ts';
import { toError } from '../base/errors.ts';
import { SILENT_LOG } from '../base/log.ts';
import { EventDecoder } from '../formats/kv-events/event-decoder.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import type { EventSource, PublishedBatch } from '../transport/event-source.ts';
import { PULLED_EVENTS, pulledEventSources } from '../transport/pulled-event-source.ts';
import { zmqEventSources } from '../transport/zmq/zmq-event-source.ts';
import { PRETENDED_HOST } from '../worker/handoff.ts';
import type { ExaminationParts } from './engine-examination.ts';
import { type Finding, ok, warn, wrong } from './finding.ts';

/** What an engine's event stream showed. */
export interface EventExamination {
  readonly findings: readonly Finding[];
  /** Of the published blocks, in tokens. */
  readonly blockSizes: ReadonlySet<number>;
  /** The engine's hash of a first block by the block's tokens. */
  readonly hashes: ReadonlyMap<string, bigint>;
}

const POLL_MS = 20;
/** A subscription takes a moment to reach the publisher after the handshake. */
const SETTLE_MS = 200;
const MAX_AGE_MS = 2000;
/** Ranks that are listened to one by one. */
const MAX_RANKS = 8;

/** What arrived from one rank. */
class Arrivals {
  readonly decoder = new EventDecoder();
  readonly blockSizes = new Set<number>();
  readonly hashes = new Map<string, bigint>();
  connected = false;
  batches = 0;
  blocks = 0;
  withoutTokens = 0;
  /** Of the engine's stamps against this machine's clock; 0 without stamps. */
  ageMs = 0;

  take({ payload }: PublishedBatch, wallMs: number): void {
    this.batches++;
    const batch = this.decoder.decode(payload);
    if (batch === undefined) return;
    if (batch.timestampS > 0) this.ageMs = wallMs - batch.timestampS * 1000;
    for (const event of batch.events) {
      if (event.kind !== 'stored') continue;
      this.blocks += event.blockHashes.length;
      if (event.tokenIds.length === 0) this.withoutTokens++;
      if (event.blockSize > 0) this.blockSizes.add(event.blockSize);
      if (event.parentHash === undefined && event.blockHashes.length > 0)
        this.hashes.set(event.tokenIds.subarray(0, event.blockSize).join(), event.blockHashes[0]!);
    }
  }
}

/** Subscribes to every rank while tiny requests make blocks, then asks for the past and for the present. */
export async function examineEvents(
  instance: WorkerInstance,
  parts: ExaminationParts,
): Promise<EventExamination> {
  const nothing = { blockSizes: new Set<number>(), hashes: new Map<string, bigint>() };
  if (instance.kvEvents === undefined) {
    const mend =
      'Start it with KV events (vLLM, SGLang: --kv-events-config, Kvasir: --kv-events) and write kv-events=tcp://HOST:PORT.';
    return {
      ...nothing,
      findings: [warn('events', 'none are published: what is cached has to be guessed', mend)],
    };
  }
  const pulled = instance.kvEvents === PULLED_EVENTS;
  if (pulled && !parts.takesEvents) return { ...nothing, findings: [await examineRoute(instance, parts)] };
  const findings: Finding[] = [];
  const hashes = new Map<string, bigint>();
  const sizes = new Set<number>();
  try {
    const { client } = parts;
    for (let dpRank = 0; dpRank < Math.min(instance.dpSize, MAX_RANKS); dpRank++) {
      const all = pulled
        ? pulledEventSources(instance, { client, clock: new RealClock(), log: SILENT_LOG })
        : zmqEventSources(instance, { client, log: SILENT_LOG });
      const source = all[dpRank];
      if (source === undefined) break;
      const arrivals = new Arrivals();
      try {
        findings.push(...(await examineRank(source, arrivals, instance, parts)));
      } finally {
        await source.stop();
      }
      for (const size of arrivals.blockSizes) sizes.add(size);
      for (const [tokens, hash] of arrivals.hashes) hashes.set(tokens, hash);
    }
  } catch (thrown) {
    const { message, hint } = toError(thrown);
    findings.push(wrong('events', message, hint));
  }
  return { findings, blockSizes: sizes, hashes };
}

/** Whether an engine hands its events out, without taking any from a frontend or a worker that runs. */
async function examineRoute(
  { url }: WorkerInstance,
  { client, timeoutMs, signal }: ExaminationParts,
): Promise<Finding> {
  const route = `${url}/kv_cache_events`;
  const { status } = await client.text(route, { timeoutMs, signal });
  // It is asked by POST.
  if (status === 405)
    return warn(
      'events',
      'are there to be pulled; none was taken, as whoever else pulls would miss it',
      'Look at kvasir_index_rank_state of the frontend, or let doctor take them with --take-events while nobody else does.',
    );
  return wrong(
    'events',
    `${route} answered ${status}: it hands out no events`,
    'Start trtllm-serve with event_buffer_max_size in its kv_cache_config.',
  );
}

async function examineRank(
  source: EventSource,
  arrivals: Arrivals,
  instance: WorkerInstance,
  parts: ExaminationParts,
): Promise<Finding[]> {
  const check = instance.dpSize > 1 ? `events ${source.dpRank}` : 'events';
  await source.start({
    batch: (batch) => arrivals.take(batch, parts.wallMs()),
    connected: () => {
      arrivals.connected = true;
    },
  });
  if (!(await until(() => arrivals.connected, parts.timeoutMs, parts.signal))) {
    const mend = `Check that the engine publishes there and that a firewall lets ${instance.kvEvents} through.`;
    return [wrong(check, `nobody publishes at ${instance.kvEvents}`, mend)];
  }
  await sleep(SETTLE_MS);
  for (const probe of parts.probes) {
    const refused = await generate(probe, source.dpRank, instance, parts);
    if (refused !== undefined) return [wrong('request', refused, 'Look at the log of the engine.')];
    if (await until(() => arrivals.blocks > 0, parts.timeoutMs / parts.probes.length, parts.signal)) break;
  }
  if (instance.kvEvents === PULLED_EVENTS) return [judge(check, arrivals)];
  return [
    judge(check, arrivals),
    ...examineAge(arrivals),
    await examineReplay(source, arrivals, instance, parts),
    ...(await examineSnapshot(source, instance)),
  ];
}

/** Undefined if the engine answered. */
async function generate(
  prompt: string,
  dpRank: number,
  instance: WorkerInstance,
  { client, timeoutMs, signal }: ExaminationParts,
): Promise<string | undefined> {
  const { url, models, dpSize } = instance;
  try {
    const { status, body } = await client.json(`${url}/v1/completions`, {
      method: 'POST',
      body: { model: models[0], prompt, max_tokens: 1, temperature: 0, ...alone(instance) },
      headers: dpSize > 1 ? { 'x-data-parallel-rank': `${dpRank}` } : {},
      timeoutMs,
      signal,
    });
    return status === 200
      ? undefined
      : `a tiny completion was answered ${status} ${JSON.stringify(body) ?? ''}`;
  } catch (thrown) {
    return toError(thrown).message;
  }
}

/** One side of a pair of SGLang's serves only requests that say where it meets the other: as its own health check does. */
function alone({ kind, role, bootstrapPort }: WorkerInstance): object {
  const meets = bootstrapPort !== undefined || (kind === 'sglang' && role !== 'both');
  return meets ? { bootstrap_host: PRETENDED_HOST, bootstrap_port: null, bootstrap_room: 0 } : {};
}

function judge(check: string, { decoder, batches, blocks, withoutTokens }: Arrivals): Finding {
  const { counts } = decoder;
  const rejected = Object.entries(counts.rejected).filter(([, count]) => count > 0);
  const unreadable = counts.malformedBatches + counts.truncatedBatches;
  if (batches === 0) {
    const mend =
      'Look whether the engine caches prefixes and publishes on every topic; behind a proxy, that it forwards subscriptions.';
    return wrong(check, 'a request made no events', mend);
  }
  if (unreadable > 0)
    return wrong(
      check,
      `${unreadable} of ${batches} batches cannot be read`,
      'Report the engine’s version: its format is new.',
    );
  if (rejected.length > 0)
    return wrong(
      check,
      `events were refused: ${rejected.map(([reason, count]) => `${count} ${reason}`).join(', ')}`,
      'Report the engine’s version: its events are not those of its published format.',
    );
  if (withoutTokens > 0)
    return wrong(check, 'blocks are published without their tokens', 'Turn token ids in events on.');
  if (blocks === 0)
    return wrong(
      check,
      `${batches} batch(es) came, and no stored block`,
      'Start the engine with prefix caching.',
    );
  return ok(check, `${batches} batch(es), ${blocks} block(s)`);
}

function examineAge({ ageMs }: Arrivals): Finding[] {
  if (Math.abs(ageMs) <= MAX_AGE_MS) return [];
  const seconds = (Math.abs(ageMs) / 1000).toFixed(1);
  const mend = 'Synchronise the clocks of both machines, or look for what holds events up.';
  return [
    wrong('event clock', `events are stamped ${seconds} s ${ageMs > 0 ? 'late' : 'in the future'}`, mend),
  ];
}

async function examineReplay(
  source: EventSource,
  arrivals: Arrivals,
  { replay, snapshot }: WorkerInstance,
  { timeoutMs }: ExaminationParts,
): Promise<Finding> {
  if (replay === undefined) {
    if (snapshot !== undefined) return ok('replay', 'none, but a snapshot tells what was missed');
    const mend =
      'Let the engine keep its events (vLLM, SGLang: replay_endpoint in --kv-events-config) and write replay=tcp://HOST:PORT.';
    return warn('replay', 'none: events that are missed stay missed', mend);
  }
  const mend = `Check that the engine answers at ${replay} (vLLM, SGLang: replay_endpoint in --kv-events-config) and that a firewall lets it through.`;
  const decoder = new EventDecoder();
  let readable = 0;
  const outcome = await source.replay(
    0,
    ({ payload }) => {
      if (decoder.decode(payload) !== undefined) readable++;
    },
    timeoutMs,
  );
  if (outcome.end !== 'complete') return wrong('replay', `${replay} does not answer`, mend);
  if (outcome.batches !== readable) return wrong('replay', 'its batches cannot be read', mend);
  if (outcome.batches === 0 && arrivals.batches > 0)
    return wrong(
      'replay',
      'keeps nothing of what was just published',
      'Raise the number of batches that it keeps.',
    );
  return ok('replay', `answers with ${outcome.batches} batch(es)`);
}

async function examineSnapshot(source: EventSource, { snapshot }: WorkerInstance): Promise<Finding[]> {
  if (snapshot === undefined) return [];
  try {
    const held = await source.snapshot();
    if (held === undefined)
      return [
        wrong(
          'snapshot',
          `${snapshot} is not there`,
          'Use the engine version that names it, or a newer one.',
        ),
      ];
    const blocks = held.events.reduce(
      (sum, event) => sum + (event.kind === 'stored' ? event.blockHashes.length : 0),
      0,
    );
    return [ok('snapshot', `${blocks} block(s) up to batch ${held.lastSeq}`)];
  } catch (thrown) {
    const { message, hint } = toError(thrown);
    return [wrong('snapshot', message, hint)];
  }
}

async function until(condition: () => boolean, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (signal.aborted || performance.now() > deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}
