import { fail } from '../../base/errors.ts';
import type { Prediction } from './trie-node.ts';

/** The client's settings, which stand in where no prediction is found. */
export interface HintDefaults {
  readonly totalRequests: number;
  readonly osl: number;
  readonly iatMs: number;
  readonly maxSensitivity: number;
  /** Undefined: no cache control is sent. */
  readonly cachePinType: string | undefined;
  readonly cacheControl: 'always' | 'first_only';
}

export const HINT_DEFAULTS: HintDefaults = {
  totalRequests: 10,
  osl: 512,
  iatMs: 250,
  maxSensitivity: 1000,
  cachePinType: 'ephemeral',
  cacheControl: 'always',
};

/**
 * `nat`: what the toolkit's client sends, where a low priority number is urgent. `dynamo`: what Dynamo accepts
 * since 1.1.0, where a high one is; unknown keys would be refused there.
 */
export type HintDialect = 'nat' | 'dynamo';

export interface HintRequest {
  readonly prefixId: string;
  /** 1-based among the requests of this prefix id. */
  readonly callIndex: number;
  readonly prediction: Prediction | undefined;
  /** Sensitivity that the program set around this call; it wins over the prediction. */
  readonly manualSensitivity?: number | undefined;
}

type Json = Readonly<Record<string, unknown>>;

const LEAST_SENSITIVITY = 2;

/** The members of `nvext` for one request. Throws when the sensitivity is outside 0..max. */
export function requestHints(request: HintRequest, defaults: HintDefaults, dialect: HintDialect): Json {
  const { prediction } = request;
  const whole = (value: number | undefined, fallback: number): number =>
    value !== undefined && Math.trunc(value) >= 1 ? Math.trunc(value) : fallback;
  const totalRequests = whole(prediction?.remainingCalls.mean, defaults.totalRequests);
  const osl = whole(prediction?.outputTokens.p90, defaults.osl);
  const iat = whole(prediction?.interarrivalMs.mean, defaults.iatMs);
  const set = request.manualSensitivity;
  const sensitivity =
    set === undefined
      ? (prediction?.latencySensitivity ?? LEAST_SENSITIVITY)
      : Math.max(LEAST_SENSITIVITY, set);
  if (sensitivity < 0 || sensitivity > defaults.maxSensitivity)
    throw fail('KV_REQUEST_INVALID', {
      reason: `latency_sensitivity: ${sensitivity} is outside 0..${defaults.maxSensitivity}`,
      mend: 'Raise nvext_max_sensitivity or lower the sensitivity.',
    });
  if (dialect === 'dynamo') return { agent_hints: { priority: sensitivity, osl } };
  const hints = {
    latency_sensitivity: sensitivity,
    osl,
    priority: defaults.maxSensitivity - sensitivity,
    prefix_id: request.prefixId,
    total_requests: totalRequests,
    iat,
  };
  const pinned =
    defaults.cachePinType !== undefined && (defaults.cacheControl === 'always' || request.callIndex === 1);
  return pinned
    ? {
        agent_hints: hints,
        cache_control: { type: defaults.cachePinType, ttl: timeToLive(totalRequests, iat) },
      }
    : { agent_hints: hints };
}

function timeToLive(requests: number, iatMs: number): string {
  const seconds = Math.max(1, Math.ceil((requests * iatMs) / 1000));
  return seconds >= 60 && seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
}

/** The body with hints merged into `nvext`; anything but a JSON object is returned as it came. */
export function injectHints(body: string, hints: Json): string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return body;
  }
  if (!isObject(parsed)) return body;
  const before = isObject(parsed.nvext) ? parsed.nvext : {};
  const agentHints = {
    ...(isObject(before.agent_hints) ? before.agent_hints : {}),
    ...(hints.agent_hints as Json),
  };
  return JSON.stringify({ ...parsed, nvext: { ...before, ...hints, agent_hints: agentHints } });
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
