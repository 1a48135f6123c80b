import { readAgentHints } from './agent-annotations.ts';
import type { RequestExtensions } from './request.ts';

/** Where hints may stand in a request, strongest first. */
export const HINT_FORMS = ['agent_hints', 'annotations', 'headers'] as const;
export type HintForm = (typeof HINT_FORMS)[number];

/** What an agent says of one LLM call and of the conversation that it belongs to. */
export interface AgentHints {
  readonly prefixId?: string | undefined;
  /** Calls of the conversation, this one and those before it included; at least 1. */
  readonly totalRequests?: number | undefined;
  /** Expected output tokens. */
  readonly osl?: number | undefined;
  /** Time to the next call of the conversation. */
  readonly interarrivalMs?: number | undefined;
  /** Higher is more urgent. */
  readonly latencySensitivity?: number | undefined;
  /** Functions that the call is made under, outermost first. */
  readonly functionPath?: readonly string[] | undefined;
  /** Place of this call among those of its conversation, from 1; counted by the receiver where it is not told. */
  readonly callIndex?: number | undefined;
}

const WORDS = {
  osl: { LOW: 128, MEDIUM: 512, HIGH: 2048 },
  iat: { LOW: 50, MEDIUM: 250, HIGH: 750 },
} as const;
const MAX_COUNT = 2 ** 31 - 1;
const MAX_PATH = 64;

/**
 * A count, or LOW, MEDIUM, HIGH in any case, as tokens (`osl`) or milliseconds (`iat`): NeMo Agent Toolkit's scale.
 * Undefined for anything else or less than 1.
 */
export function hintWord(kind: 'osl' | 'iat', value: string | number): number | undefined {
  if (typeof value === 'number') return Number.isInteger(value) && value >= 1 ? value : undefined;
  const word = WORDS[kind][value.trim().toUpperCase() as 'LOW'];
  return word ?? (/^\s*\d+(\.\d*)?\s*$/.test(value) ? hintWord(kind, Math.trunc(Number(value))) : undefined);
}

/**
 * Hints of every form in one, field by field: `nvext.agent_hints`, then `nvext.annotations`, then `x-prefix-*` headers.
 * What is malformed in annotations and headers counts as absent. `forms` are those that said anything.
 */
export function mergeAgentHints(
  nvext: RequestExtensions | undefined,
  header: (name: string) => string | undefined,
): { readonly hints: AgentHints; readonly forms: readonly HintForm[] } {
  const said: Readonly<Record<HintForm, AgentHints>> = {
    agent_hints: fromObject(nvext?.agent_hints ?? {}),
    annotations: fromAnnotations(nvext?.annotations),
    headers: fromHeaders(header),
  };
  const forms = HINT_FORMS.filter((form) => Object.values(said[form]).some((value) => value !== undefined));
  const hints: Record<string, unknown> = {};
  for (const form of forms) for (const [name, value] of Object.entries(said[form])) hints[name] ??= value;
  return { hints, forms };
}

function fromObject(object: NonNullable<RequestExtensions['agent_hints']>): AgentHints {
  const { prefix_id, total_requests, osl, iat, latency_sensitivity, function_path, call_index } = object;
  return {
    prefixId: prefix_id,
    totalRequests: total_requests,
    osl: osl === undefined ? undefined : hintWord('osl', osl),
    interarrivalMs: iat === undefined ? undefined : hintWord('iat', iat),
    latencySensitivity: latency_sensitivity,
    functionPath: function_path,
    callIndex: call_index,
  };
}

function fromAnnotations(annotations: unknown): AgentHints {
  const told = readAgentHints(annotations);
  return {
    prefixId: told.prefixId,
    totalRequests: told.totalRequests,
    osl: word('osl', told.osl),
    interarrivalMs: word('iat', told.iat),
    functionPath: pathOf(told.functionPath),
    callIndex: count(told.callIndex),
  };
}

function fromHeaders(header: (name: string) => string | undefined): AgentHints {
  const sensitivity = Number(header('x-prefix-latency-sensitivity') ?? Number.NaN);
  return {
    prefixId: header('x-prefix-id'),
    totalRequests: count(header('x-prefix-total-requests')),
    osl: word('osl', header('x-prefix-osl')),
    interarrivalMs: word('iat', header('x-prefix-iat')),
    latencySensitivity: Number.isFinite(sensitivity) ? sensitivity : undefined,
    functionPath: pathOf(header('x-prefix-function-path')),
    callIndex: count(header('x-prefix-call-index')),
  };
}

function word(kind: 'osl' | 'iat', text: string | undefined): number | undefined {
  return text === undefined ? undefined : hintWord(kind, text);
}

function count(text: string | undefined): number | undefined {
  const value = /^\d{1,10}$/.test(text ?? '') ? Number(text) : 0;
  return value >= 1 && value <= MAX_COUNT ? value : undefined;
}

/** `workflow/agent/tool`. */
function pathOf(text: string | undefined): readonly string[] | undefined {
  return text === undefined ? undefined : text.split('/', MAX_PATH).map((name) => name.trim());
}
