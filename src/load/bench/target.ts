import { type Clock, sleepUntil } from '../../base/clock.ts';
import { fail, type KvasirError, toError } from '../../base/errors.ts';
import type { Log } from '../../base/log.ts';
import { type ModelCard, readModelList } from '../../formats/openai/model-card.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import type { HttpClient } from '../../transport/http-client.ts';
import type { OpenAiTargetOptions } from '../openai-target.ts';
import { PromptWriter, tokenizerLexicon } from '../prompt-words.ts';
import type { PromptForm } from '../request-body.ts';
import type { BenchSettings } from './settings.ts';

const POLL_EVERY_MS = 250;
const PROBE_TIMEOUT_MS = 5000;

/** Ids that are neither special nor rare in common vocabularies, and those of a byte vocabulary. */
const COMMON_IDS = { first: 1000, size: 19_000 };
const BYTE_IDS = { first: 32, size: 95 };

/** What the server is and how to talk to it. */
export interface BenchEndpoint {
  readonly model: string;
  readonly form: PromptForm;
  readonly ids: { readonly first: number; readonly size: number };
}

interface Asking {
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Asks the server for its models until it answers; with a model given, a server without a list will do. */
export async function resolveEndpoint(
  settings: BenchSettings,
  client: HttpClient,
  asking: Asking,
): Promise<BenchEndpoint> {
  const cards = await awaitModels(settings, client, asking);
  const card = settings.model === undefined ? cards[0] : cards.find(({ id }) => id === settings.model);
  const model = settings.model ?? card?.id;
  if (model === undefined) {
    throw fail('KV_USAGE', {
      reason: `${settings.url} lists no model`,
      mend: 'Name the model with --model NAME.',
    });
  }
  if (cards.length > 0 && card === undefined) {
    throw fail('KV_MODEL_UNKNOWN', { model, served: cards.map(({ id }) => id).join(', ') });
  }
  return { model, form: formOf(settings), ids: tokenIds(settings.tokenIds, card) };
}

/** How to speak to the endpoint. */
export function targetOptions(
  settings: BenchSettings,
  endpoint: BenchEndpoint,
  tokenizer: Tokenizer | undefined,
): OpenAiTargetOptions {
  const { form, ids } = endpoint;
  const lexicon = form === 'token-ids' || tokenizer === undefined ? undefined : tokenizerLexicon(tokenizer);
  return {
    url: settings.url,
    endpoint: settings.endpoint,
    model: endpoint.model,
    form,
    writer: new PromptWriter({ seed: settings.seed, ids, lexicon }),
    ignoreEos: settings.ignoreEos,
    continuousUsage: settings.continuousUsage,
    extra: extraBody(settings.extraBody),
    headers: headersOf(settings.header),
    apiKey: settings.apiKey,
    timeoutMs: settings.requestTimeoutSec * 1000,
    keepText: settings.saveDetailed,
  };
}

async function awaitModels(
  settings: BenchSettings,
  client: HttpClient,
  { clock, log, signal }: Asking,
): Promise<readonly ModelCard[]> {
  const base = settings.url.replace(/\/+$/, '').replace(/\/v1$/, '');
  const headers = {
    ...(settings.apiKey !== undefined && { authorization: `Bearer ${settings.apiKey}` }),
    ...headersOf(settings.header),
  };
  const deadlineMs = clock.nowMs() + settings.readyCheckTimeoutSec * 1000;
  for (let attempt = 1; ; attempt++) {
    let problem: KvasirError;
    try {
      const { status, body } = await client.json(`${base}/v1/models`, {
        headers,
        timeoutMs: PROBE_TIMEOUT_MS,
        signal,
      });
      const cards = status === 200 ? readModelList(body) : [];
      if (cards.length > 0) return cards;
      // A server that answers but has no list is ready; an empty list is one that still loads.
      if (settings.model !== undefined && status !== 503) return [];
      if (status === 401 || status === 403) throw fail('KV_UNAUTHORIZED');
      problem = fail('KV_ENGINE_UNREACHABLE', {
        url: settings.url,
        reason: `it lists no model (HTTP ${status})`,
      });
    } catch (thrown) {
      problem = toError(thrown);
      if (problem.code !== 'KV_ENGINE_UNREACHABLE') throw thrown;
    }
    if (clock.nowMs() + POLL_EVERY_MS > deadlineMs) throw problem;
    if (attempt === 1) {
      log.info({ upToSec: settings.readyCheckTimeoutSec }, `waiting for the server: ${problem.message}`);
    }
    await sleepUntil(clock, clock.nowMs() + POLL_EVERY_MS, signal);
  }
}

function formOf(settings: BenchSettings): PromptForm {
  if (settings.backend === 'openai-chat' || settings.backend === 'chat') return 'chat';
  return settings.prompt === 'text' ? 'text' : 'token-ids';
}

function tokenIds(range: string | undefined, card: ModelCard | undefined): BenchEndpoint['ids'] {
  if (range === undefined) {
    return card?.ownedBy === 'kvasir' || card?.engine?.tokenizer === 'byte' ? BYTE_IDS : COMMON_IDS;
  }
  const [low, high] = range.split('-').map(Number) as [number, number | undefined];
  if (Number.isInteger(low) && Number.isInteger(high) && low >= 0 && high! > low) {
    return { first: low, size: high! - low };
  }
  throw fail('KV_SETTING_INVALID', {
    setting: '--token-ids',
    value: range,
    reason: 'is not a range',
    mend: 'Give LOW-HIGH as in 1000-20000; HIGH is not in it.',
  });
}

function headersOf(items: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    items.map((item) => {
      const colon = item.indexOf(':');
      if (colon > 0) return [item.slice(0, colon).trim().toLowerCase(), item.slice(colon + 1).trim()];
      throw fail('KV_SETTING_INVALID', {
        setting: '--header',
        value: item,
        reason: 'has no name',
        mend: 'Give NAME:VALUE.',
      });
    }),
  );
}

function extraBody(json: string | undefined): Record<string, unknown> {
  if (json === undefined) return {};
  const invalid = (cause?: unknown) =>
    fail(
      'KV_SETTING_INVALID',
      {
        setting: '--extra-body',
        value: json,
        reason: 'is not a JSON object',
        mend: 'Give {"field": value}.',
      },
      cause,
    );
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw invalid(cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid();
  return value as Record<string, unknown>;
}
