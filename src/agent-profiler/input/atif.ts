/** Function ancestry as trajectories carry it. */
export interface AtifAncestry {
  readonly function_id: string;
  readonly function_name: string;
  readonly parent_id?: string | null;
  readonly parent_name?: string | null;
}

/** When something ran; both times or neither, in seconds since the epoch. */
export interface AtifInvocation {
  readonly start_timestamp?: number | null;
  readonly end_timestamp?: number | null;
  readonly invocation_id?: string | null;
  readonly status?: string | null;
  readonly framework?: string | null;
}

interface AtifToolCall {
  readonly tool_call_id: string;
  readonly function_name: string;
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly extra?: { readonly ancestry?: AtifAncestry; readonly invocation?: AtifInvocation };
}

interface AtifMetrics {
  readonly prompt_tokens?: number | null;
  readonly completion_tokens?: number | null;
  readonly cached_tokens?: number | null;
  readonly cost_usd?: number | null;
  readonly extra?: Readonly<Record<string, unknown>> | null;
}

interface AtifStepExtra {
  readonly ancestry?: AtifAncestry;
  readonly invocation?: AtifInvocation;
  /** Layout before 1.7: lists aligned with the step's tool calls. */
  readonly tool_ancestry?: readonly AtifAncestry[];
  readonly tool_invocations?: readonly AtifInvocation[];
  readonly span_event_timestamp?: string | number | null;
}

export interface AtifStep {
  readonly step_id: number;
  readonly timestamp?: string | null;
  readonly source: 'system' | 'user' | 'agent';
  readonly model_name?: string | null;
  readonly message?: string | readonly Readonly<Record<string, unknown>>[] | null;
  readonly tool_calls?: readonly AtifToolCall[] | null;
  readonly observation?: {
    readonly results?: readonly { readonly source_call_id?: string | null; readonly content?: unknown }[];
  } | null;
  readonly metrics?: AtifMetrics | null;
  readonly extra?: AtifStepExtra | null;
  readonly is_copied_context?: boolean | null;
  readonly llm_call_count?: number | null;
}

/** An ATIF trajectory, versions 1.0 to 1.7; members that Kvasir does not use are left out here. */
export interface Trajectory {
  readonly schema_version: string;
  readonly session_id?: string | null;
  readonly trajectory_id?: string | null;
  readonly agent: { readonly name: string; readonly version: string; readonly model_name?: string | null };
  readonly steps: readonly AtifStep[];
  readonly final_metrics?: Readonly<Record<string, unknown>> | null;
  readonly subagent_trajectories?: readonly Trajectory[] | null;
}

/** Seconds since the epoch of an ISO 8601 text; without a zone it is read as UTC. Undefined if it is none. */
export function isoSeconds(text: string | number | null | undefined): number | undefined {
  if (typeof text === 'number') return Number.isFinite(text) ? text : undefined;
  const match = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?\s*(Z|[+-]\d\d:?\d\d)?$/i.exec(
    text?.trim() ?? '',
  );
  if (match === null) return undefined;
  const [, date, time = '', fraction = '', zone = 'Z'] = match;
  const offset = zone.length === 5 ? `${zone.slice(0, 3)}:${zone.slice(3)}` : zone.toUpperCase();
  const wholeMs = Date.parse(`${date}T${time.length === 5 ? `${time}:00` : time}${offset}`);
  // The fraction apart: Date keeps milliseconds only.
  return Number.isNaN(wholeMs) ? undefined : wholeMs / 1000 + Number(`0.${fraction || '0'}`);
}

/** The text of a message: its own, or its text parts joined. */
export function messageText(message: AtifStep['message']): string {
  if (typeof message === 'string') return message;
  return (message ?? []).map((part) => (typeof part.text === 'string' ? part.text : '')).join('\n');
}
