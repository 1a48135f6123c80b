import {
  type AtifAncestry,
  type AtifInvocation,
  type AtifStep,
  isoSeconds,
  messageText,
  type Trajectory,
} from './atif.ts';
import type { TraceEvent } from './event.ts';
import { readEvent } from './event-reader.ts';
import { pythonText } from './python-text.ts';

const ROOT: AtifAncestry = { function_id: 'root', function_name: 'root' };

interface Draft {
  readonly timeS: number;
  readonly order: number;
  readonly raw: object;
}

/**
 * A trajectory as the events of the run it tells of, in order of time. A turn with a model or metrics becomes
 * an LLM span (its prompt: the conversation before it), a tool call a TOOL span, or a FUNCTION span where the
 * converter wrote the toolkit function of a tool a second time. Turns without times take the gap before them.
 */
export function trajectoryEvents(trajectory: Trajectory, onFault: (reason: string) => void): TraceEvent[] {
  const drafts: Draft[] = [];
  draftTrajectory(
    trajectory,
    ROOT,
    trajectory.session_id ?? trajectory.trajectory_id ?? 'atif',
    drafts,
    onFault,
  );
  drafts.sort((a, b) => a.timeS - b.timeS || a.order - b.order);
  return drafts.flatMap(({ raw }) => {
    const read = readEvent(raw);
    if (read.event === undefined) onFault(`a step of the trajectory ${read.fault}`);
    return read.event ?? [];
  });
}

function draftTrajectory(
  trajectory: Trajectory,
  under: AtifAncestry,
  id: string,
  drafts: Draft[],
  onFault: (reason: string) => void,
): void {
  const turns: string[] = [];
  let previousS: number | undefined;
  const model = trajectory.agent?.model_name ?? undefined;
  for (const [i, step] of trajectory.steps.entries()) {
    const timeS = isoSeconds(step.timestamp) ?? step.extra?.invocation?.end_timestamp ?? previousS;
    if (timeS === undefined || timeS === null) {
      onFault(`step ${step.step_id ?? i + 1} of trajectory ${id} has no timestamp`);
      continue;
    }
    if (step.is_copied_context !== true)
      draftStep(step, timeS, previousS ?? timeS, { id, under, model, turns, drafts });
    const text = messageText(step.message);
    if (text !== '') turns.push(`${step.source}: ${text}`);
    for (const result of step.observation?.results ?? [])
      turns.push(`tool: ${pythonText(result.content ?? '')}`);
    previousS = timeS;
  }
  for (const [i, child] of (trajectory.subagent_trajectories ?? []).entries()) {
    const childId = `${id}/${child.trajectory_id ?? i}`;
    const name = child.agent?.name ?? 'subagent';
    const own = {
      function_id: childId,
      function_name: name,
      parent_id: under.function_id,
      parent_name: under.function_name,
    };
    draftTrajectory(child, own, childId, drafts, onFault);
  }
}

interface Place {
  readonly id: string;
  readonly under: AtifAncestry;
  readonly model: string | undefined;
  readonly turns: readonly string[];
  readonly drafts: Draft[];
}

function draftStep(step: AtifStep, timeS: number, previousS: number, place: Place): void {
  const ancestry = step.extra?.ancestry;
  const under = ancestry === undefined || ancestry.function_id === 'root' ? place.under : ancestry;
  const uuid = `${place.id}-step${step.step_id}`;
  if (step.source === 'user' && place.turns.length === 0)
    add(place, timeS, 'WORKFLOW_START', under, {
      UUID: `${place.id}-workflow`,
      data: { input: messageText(step.message) },
    });
  const isLlm =
    step.source === 'agent' && step.llm_call_count !== 0 && (step.model_name != null || step.metrics != null);
  if (isLlm) {
    const span = interval(step.extra?.invocation, previousS, timeS);
    const name = step.model_name ?? place.model ?? '';
    const shared = { UUID: uuid, name, framework: step.extra?.invocation?.framework ?? null };
    add(place, span.startS, 'LLM_START', under, { ...shared, data: { input: place.turns.join('\n') } });
    const {
      prompt_tokens: prompt = 0,
      completion_tokens: completion = 0,
      cached_tokens: cached = 0,
    } = step.metrics ?? {};
    const reasoning = step.metrics?.extra?.reasoning_tokens;
    const usage = {
      prompt_tokens: prompt ?? 0,
      completion_tokens: completion ?? 0,
      cached_tokens: cached ?? 0,
      reasoning_tokens: typeof reasoning === 'number' ? reasoning : 0,
      total_tokens: (prompt ?? 0) + (completion ?? 0),
    };
    add(place, span.endS, 'LLM_END', under, {
      ...shared,
      span_event_timestamp: span.startS,
      data: { output: messageText(step.message) },
      usage_info: step.metrics == null ? null : { token_usage: usage },
    });
  } else if (step.source === 'agent' && (step.tool_calls ?? []).length === 0)
    add(place, timeS, 'WORKFLOW_END', under, {
      UUID: `${place.id}-workflow`,
      data: { output: messageText(step.message) },
    });
  draftTools(step, timeS, under, place);
}

function draftTools(step: AtifStep, timeS: number, under: AtifAncestry, place: Place): void {
  const results = new Map((step.observation?.results ?? []).map((r) => [r.source_call_id, r.content]));
  for (const [i, call] of (step.tool_calls ?? []).entries()) {
    const ancestry = call.extra?.ancestry ?? step.extra?.tool_ancestry?.[i] ?? under;
    const invocation = call.extra?.invocation ?? step.extra?.tool_invocations?.[i];
    const isFunction = call.tool_call_id === `call_${ancestry.function_id}`;
    const uuid = isFunction ? ancestry.function_id : call.tool_call_id;
    const span = interval(invocation, timeS, timeS);
    const shared = { UUID: uuid, name: call.function_name, framework: invocation?.framework ?? null };
    const parent = isFunction ? (ancestry.parent_id ?? 'root') : ancestry.function_id;
    const kind = isFunction ? 'FUNCTION' : 'TOOL';
    add(
      place,
      span.startS,
      `${kind}_START`,
      ancestry,
      { ...shared, data: { input: call.arguments } },
      parent,
    );
    const data = { input: call.arguments, output: results.get(call.tool_call_id) ?? null };
    add(
      place,
      span.endS,
      `${kind}_END`,
      ancestry,
      { ...shared, span_event_timestamp: span.startS, data },
      parent,
    );
  }
}

function interval(
  invocation: AtifInvocation | undefined,
  startS: number,
  endS: number,
): { startS: number; endS: number } {
  const { start_timestamp: start, end_timestamp: end } = invocation ?? {};
  return start == null || end == null
    ? { startS: Math.min(startS, endS), endS }
    : { startS: start, endS: end };
}

function add(
  place: Place,
  timeS: number,
  type: string,
  ancestry: AtifAncestry,
  payload: object,
  parentId?: string,
): void {
  const raw = {
    parent_id: parentId ?? ancestry.function_id,
    function_ancestry: { parent_id: null, parent_name: null, ...ancestry },
    payload: { event_type: type, event_timestamp: timeS, ...payload },
  };
  place.drafts.push({ timeS, order: place.drafts.length, raw });
}
