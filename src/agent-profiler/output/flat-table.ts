import { type LlmColumns, llmColumns } from '../analysis/llm-columns.ts';
import type { Trace, TraceEvent } from '../input/event.ts';
import { csvFloat, csvText } from './csv.ts';

export interface FlatTableOptions {
  readonly llmColumns: boolean;
  readonly excludeText: boolean;
  /** Completion tokens by UUID, for the column NOVA-Predicted-OSL. */
  readonly oslByUuid: ReadonlyMap<string, number>;
  /** No trace of the file has an LLM_START: the reference then writes -1 as an integer. */
  readonly noLlmStarts: boolean;
}

const TEXT_COLUMNS = ['llm_text_input', 'llm_text_output', 'llm_new_token'];
const LLM_COLUMNS = [
  'NOVA-Event-ID',
  'NOVA-Requests-Remaining-In-Event',
  'NOVA-Time-To-Next-Event',
  'NOVA-Time-To-Event-End',
  'NOVA-Predicted-OSL',
  'NOVA-Time-To-Session-End',
];
const COLUMNS = [
  'event_type',
  'event_timestamp',
  'example_number',
  'prompt_tokens',
  'completion_tokens',
  'total_tokens',
  ...TEXT_COLUMNS,
  'llm_name',
  'tool_name',
  'function_name',
  'function_id',
  'parent_function_name',
  'parent_function_id',
  'UUID',
  'framework',
];

/** The header line, without its line break. */
export function tableHeader(options: Pick<FlatTableOptions, 'llmColumns' | 'excludeText'>): string {
  const columns = options.excludeText ? COLUMNS.filter((name) => !TEXT_COLUMNS.includes(name)) : COLUMNS;
  return [...columns, ...(options.llmColumns ? LLM_COLUMNS : [])].join(',');
}

/** The rows of a trace, each with its line break, in the order of its events. */
export function* tableRows(trace: Trace, options: FlatTableOptions): Generator<string> {
  const columns = options.llmColumns ? llmColumns(trace, options.oslByUuid) : undefined;
  for (const [i, event] of trace.events.entries()) {
    const llm = columns === undefined ? '' : llmFields(columns[i]!, options.noLlmStarts);
    yield `${eventFields(event, trace.index, options.excludeText)}${llm}\n`;
  }
}

/** The model's name on starts and ends of LLM calls, else empty; likewise {@link toolName}. */
export function llmName(event: TraceEvent): string {
  return event.kind === 'LLM' && event.phase !== 'chunk' ? event.name : '';
}

export function toolName(event: TraceEvent): string {
  return event.kind === 'TOOL' ? event.name : '';
}

function eventFields(event: TraceEvent, index: number, excludeText: boolean): string {
  const { usage } = event;
  const texts = excludeText
    ? ''
    : `${csvText(event.inputText)},${csvText(event.outputText)},${csvText(event.chunkText)},`;
  return (
    `${event.type},${csvFloat(event.timeS)},${index},${usage?.prompt ?? 0},${usage?.completion ?? 0},${usage?.total ?? 0},` +
    `${texts}${csvText(llmName(event))},${csvText(toolName(event))},${csvText(event.functionName)},${csvText(event.functionId)},` +
    `${csvText(event.functionParentName)},${csvText(event.functionParentId)},${csvText(event.uuid)},${csvText(event.framework)}`
  );
}

function llmFields(columns: LlmColumns, noLlmStarts: boolean): string {
  const remaining = noLlmStarts ? String(columns.requestsRemaining) : csvFloat(columns.requestsRemaining);
  return (
    `,${csvText(columns.eventId)},${remaining},${csvFloat(columns.timeToNextMs)},${csvFloat(columns.timeToEndMs)},` +
    `${csvFloat(columns.predictedOsl)},${csvFloat(columns.timeToSessionEndMs)}`
  );
}
