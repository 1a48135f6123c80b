import { fail } from '../base/errors.ts';
import type { ChatRequest, CompletionRequest } from '../formats/openai/request.ts';
import { sampleOf } from './schema-sample.ts';

/** What an answer is to be: free text, JSON by a schema, one of some texts, or a call of one of some tools. */
export type AnswerForm =
  | { readonly kind: 'text' }
  | { readonly kind: 'json'; readonly schema: unknown }
  | { readonly kind: 'choice'; readonly texts: readonly string[] }
  | { readonly kind: 'call'; readonly tools: readonly CallableTool[] };

export interface CallableTool {
  readonly name: string;
  /** Schema of its arguments. */
  readonly parameters: unknown;
}

type Fields = Readonly<Record<string, unknown>>;

const ANY_OBJECT = { type: 'object', properties: { answer: { type: 'string' } } };

/**
 * The form that a request insists on. A model that may call a tool (`auto`) answers in text here, so that load with
 * tools has the lengths it asks for. Throws `KV_REQUEST_INVALID` for forms that a simulated engine cannot give.
 */
export function answerForm(request: ChatRequest | CompletionRequest): AnswerForm {
  return calledForm(request) ?? structuredForm(request) ?? { kind: 'text' };
}

/** What is said in a form, decided by `key`; of a call, the arguments, and which tool they are for. */
export function sayIn(
  form: Exclude<AnswerForm, { kind: 'text' }>,
  key: number,
): { readonly text: string; readonly tool?: string } {
  if (form.kind === 'choice') return { text: form.texts[key % form.texts.length]! };
  if (form.kind === 'json') return { text: JSON.stringify(sampleOf(form.schema, key)) };
  const { name, parameters } = form.tools[key % form.tools.length]!;
  return { text: JSON.stringify(sampleOf(parameters, key)), tool: name };
}

function calledForm({ tools, tool_choice, functions, function_call }: Fields): AnswerForm | undefined {
  const choice = tool_choice ?? (function_call === undefined ? undefined : function_call);
  const callable = [...listOf(tools).map((tool) => fieldsOf(tool).function), ...listOf(functions)].map(
    fieldsOf,
  );
  const known = callable.flatMap(({ name, parameters }) =>
    typeof name === 'string' ? [{ name, parameters: parameters ?? { type: 'object' } }] : [],
  );
  if (choice === 'required') return callOf(known, 'no function is given');
  if (typeof choice !== 'object' || choice === null) return undefined;
  const { type, name, function: named, allowed_tools: allowed } = choice as Fields;
  if (type === 'allowed_tools') {
    const { mode, tools: some } = fieldsOf(allowed);
    const names = listOf(some).map((tool) => fieldsOf(fieldsOf(tool).function).name);
    if (mode !== 'required') return undefined;
    return callOf(
      known.filter((tool) => names.includes(tool.name)),
      'it allows no tool that is given',
    );
  }
  const wanted = fieldsOf(named).name ?? name;
  return callOf(
    known.filter((tool) => tool.name === wanted),
    `no tool is named ${JSON.stringify(wanted)}`,
  );
}

function callOf(tools: readonly CallableTool[], lack: string): AnswerForm {
  if (tools.length > 0) return { kind: 'call', tools };
  throw invalid('tool_choice', lack, 'Name one of the tools.');
}

/** `response_format`, vLLM's `structured_outputs`, and its older `guided_*`. */
function structuredForm(request: Fields): AnswerForm | undefined {
  const format = fieldsOf(request.response_format);
  if (format.type === 'json_object') return { kind: 'json', schema: ANY_OBJECT };
  if (format.type === 'json_schema')
    return { kind: 'json', schema: fieldsOf(format.json_schema).schema ?? {} };
  const given = fieldsOf(request.structured_outputs);
  const option = (name: string): unknown => given[name] ?? request[`guided_${name}`] ?? undefined;
  for (const name of ['regex', 'grammar', 'structural_tag'])
    if (option(name) !== undefined)
      throw invalid(
        name,
        'a simulated engine cannot follow it',
        'Use a JSON schema or a choice, or a real engine.',
      );
  const schema = option('json');
  if (schema !== undefined)
    return { kind: 'json', schema: typeof schema === 'string' ? read(schema) : schema };
  if (option('json_object') === true) return { kind: 'json', schema: ANY_OBJECT };
  const texts = option('choice');
  if (Array.isArray(texts) && texts.length > 0) return { kind: 'choice', texts: texts.map(String) };
  return undefined;
}

function read(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalid('json', 'the schema is not valid JSON', 'Send the schema as an object.');
  }
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function invalid(param: string, reason: string, mend: string): Error {
  return fail('KV_REQUEST_INVALID', { param, reason: `${param}: ${reason}`, mend });
}
