import type { Trace, TraceEvent } from './event.ts';
import { pythonText } from './python-text.ts';

/**
 * The trace with a start for each model call and tool of which it has the end alone, where the end tells when that was:
 * workflow_output.json keeps ends only, unless its filter says otherwise.
 */
export function withFoundStarts(trace: Trace): Trace {
  const started = new Set<string>();
  for (const { phase, uuid } of trace.events) if (phase === 'start') started.add(uuid);
  const events: TraceEvent[] = [];
  for (const event of trace.events) {
    const { kind, phase, spanStartS, uuid } = event;
    const isCall = (kind === 'LLM' || kind === 'TOOL') && phase === 'end';
    if (isCall && spanStartS !== undefined && !started.has(uuid)) {
      started.add(uuid);
      events.push(startOf(event, spanStartS));
    }
    events.push(event);
  }
  return events.length === trace.events.length ? trace : { ...trace, events };
}

/** Ends repeat the input of their call. */
function startOf(end: TraceEvent, startS: number): TraceEvent {
  const { data } = (end.raw as { payload: { data?: { input?: unknown } | null } }).payload;
  return {
    ...end,
    type: `${end.kind}_START`,
    phase: 'start',
    timeS: Math.min(startS, end.timeS),
    spanStartS: undefined,
    usage: undefined,
    inputText: end.kind === 'LLM' && data?.input != null ? pythonText(data.input) : '',
    outputText: '',
  };
}
