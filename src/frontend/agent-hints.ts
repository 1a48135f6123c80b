import type { Clock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import { mergeAgentHints } from '../formats/openai/agent-hints.ts';
import { type RequestExtensions, STANDARD_AGENT_HINTS } from '../formats/openai/request.ts';
import { Conversations } from '../kv/conversations.ts';
import type { Conversation } from '../kv/policies/policy.ts';
import type { HintSource } from '../metrics/frontend-metrics.ts';

/** What is known beforehand of a call at some place of an agent workflow; each may be unknown. */
export interface HintPrediction {
  readonly remainingCalls: number | undefined;
  readonly interarrivalMs: number | undefined;
  readonly outputTokens: number | undefined;
  /** Higher is more urgent. */
  readonly latencySensitivity: number | undefined;
}

export interface AgentHintOptions {
  /** Hints that Dynamo does not know are an error, as they are there. */
  readonly strict: boolean;
  /** Whether a low `agent_hints.priority` is the urgent one, as NeMo Agent Toolkit up to 1.7 sends it. */
  readonly lowIsUrgent: boolean;
  /** Most sensitive a call can be; what a low priority is subtracted from. */
  readonly maxSensitivity: number;
  /** The prediction for the n-th call under these functions, outermost first. */
  readonly predict?: (path: readonly string[], callIndex: number) => HintPrediction | undefined;
}

/** The hints of one request as the router takes them. */
export interface RequestHints {
  /** Higher is more urgent; seconds of head start in the queue. */
  readonly priority: number | undefined;
  readonly expectedOutputTokens: number | undefined;
  readonly conversation: Conversation | undefined;
}

/** Reads what agents say of their calls, and fills in from predictions what they do not. */
export class AgentHintReader {
  readonly #options: AgentHintOptions;
  readonly #conversations: Conversations;
  readonly #used: (source: HintSource) => void;

  /** `used` is told each source that said something of a request. */
  constructor(options: AgentHintOptions, clock: Clock, used: (source: HintSource) => void) {
    this.#options = options;
    this.#conversations = new Conversations(clock);
    this.#used = used;
  }

  /** `session`: the conversation where no prefix id names one. Throws KV_REQUEST_INVALID. */
  read(
    nvext: RequestExtensions | undefined,
    header: (name: string) => string | undefined,
    session: { readonly id: string | undefined; readonly final: boolean },
  ): RequestHints {
    const object = nvext?.agent_hints ?? {};
    if (this.#options.strict) requireStandard(object);
    const { hints, forms } = mergeAgentHints(nvext, header);
    const { maxSensitivity } = this.#options;
    if (hints.latencySensitivity !== undefined && !(hints.latencySensitivity <= maxSensitivity))
      throw invalid('latency_sensitivity', `${hints.latencySensitivity} is above ${maxSensitivity}`);
    for (const form of forms) this.#used(form);

    const prefixId = hints.prefixId ?? session.id;
    const call =
      prefixId === undefined
        ? undefined
        : this.#conversations.next(prefixId, hints.totalRequests, hints.interarrivalMs);
    const predicted =
      call === undefined
        ? undefined
        : this.#options.predict?.(hints.functionPath ?? [], hints.callIndex ?? call.callIndex);
    if (predicted !== undefined) this.#used('prediction');

    const known = this.#priority(object.priority) ?? hints.latencySensitivity;
    const told = hints.totalRequests === undefined ? undefined : call?.remainingCalls;
    // A session that has not said that it ends will call again.
    const sessionCalls = session.id === undefined || session.final ? 0 : 1;
    return {
      priority: known ?? predicted?.latencySensitivity,
      expectedOutputTokens: hints.osl ?? predicted?.outputTokens,
      conversation:
        prefixId === undefined
          ? undefined
          : {
              prefixId,
              remainingCalls: told ?? predicted?.remainingCalls ?? sessionCalls,
              interarrivalMs: hints.interarrivalMs ?? predicted?.interarrivalMs,
            },
    };
  }

  #priority(given: number | undefined): number | undefined {
    if (given === undefined || !this.#options.lowIsUrgent) return given;
    return this.#options.maxSensitivity - given;
  }
}

function requireStandard(hints: object): void {
  const names: readonly string[] = STANDARD_AGENT_HINTS;
  const unknown = Object.keys(hints).find((name) => !names.includes(name));
  if (unknown !== undefined) throw invalid(unknown, `is none of ${names.join(', ')}`);
}

function invalid(name: string, what: string): Error {
  const param = `nvext.agent_hints.${name}`;
  return fail('KV_REQUEST_INVALID', {
    param,
    reason: `${param}: ${what}`,
    mend: 'See docs/guides/agent-hints.md for the hints and the flags that set their bounds.',
  });
}
