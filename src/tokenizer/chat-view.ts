import { type ChatDialect, type ChatMessage, type ChatPart, textOfPart } from './tokenizer.ts';

/** What a template can do with messages. */
export interface TemplateTraits {
  /** It takes contents apart itself: each is to be a list of parts, else a text. */
  readonly parts: boolean;
  /** It knows the role `developer`. */
  readonly developer: boolean;
}

type Fields = Readonly<Record<string, unknown>>;

const TEXTS: ReadonlySet<string> = new Set(['text', 'input_text', 'output_text', 'refusal', 'thinking']);
/** Types of parts by what a template knows them as. */
const MEDIA: Readonly<Record<string, string>> = {
  image_url: 'image',
  input_image: 'image',
  image_pil: 'image',
  image_embeds: 'image',
  audio_url: 'audio',
  input_audio: 'audio',
  audio_embeds: 'audio',
  video_url: 'video',
};

/**
 * Messages as an engine's server gives them to its chat template. Servers join or wrap parts, read the arguments of
 * tool calls, and drop what they do not know; a prompt that is rendered otherwise has other blocks than the engine's.
 */
export function viewOfMessages(
  messages: readonly ChatMessage[],
  traits: TemplateTraits,
  dialect: ChatDialect,
): ChatMessage[] {
  if (dialect === 'sglang') return messages.map((message) => sglangMessage(message, traits));
  const viewed = messages.map((message) => vllmMessage(message, traits));
  if (traits.developer || !viewed.some(({ role }) => role === 'developer')) return viewed;
  return systemFirst(
    viewed.map(({ tools, ...message }) => (isDeveloper(message) ? asSystem(message) : message)),
  );
}

/** Tools as both servers write them out again: their known fields in a fixed order, or in the client's. */
export function viewOfTools(tools: readonly unknown[], dialect: ChatDialect): unknown[] {
  return tools.map((tool) => {
    const { type = 'function', function: given } = isFields(tool) ? tool : {};
    if (!isFields(given)) return tool;
    const known: Record<string, unknown> = { description: null, parameters: null };
    for (const [name, value] of Object.entries(given))
      if (['name', 'description', 'parameters'].includes(name) || (name === 'strict' && value !== null))
        known[name] = value;
    const declared = ['name', 'description', 'parameters', 'strict'];
    const clients = Object.keys(given);
    const order = dialect === 'sglang' ? [...clients, 'description', ...declared] : declared;
    const names = [...new Set(order)].filter((name) => name in known);
    return { type, function: Object.fromEntries(names.map((name) => [name, known[name]])) };
  });
}

function vllmMessage(message: ChatMessage, { parts }: TemplateTraits): ChatMessage {
  const { role, content } = message;
  const list = typeof content === 'string' ? [{ type: 'text', text: content }] : (content ?? []);
  const viewed: Record<string, unknown> = { role, content: parts ? wrapped(list) : joined(list, '\n') };
  if (role === 'assistant') {
    const reasoning = message.reasoning ?? message.reasoning_content;
    if (Array.isArray(message.tool_calls) && message.tool_calls.length > 0)
      viewed.tool_calls = message.tool_calls.map((call) => withReadArguments(call, true));
    if (reasoning != null) viewed.reasoning = viewed.reasoning_content = reasoning;
  }
  if (role === 'tool') {
    if (message.tool_call_id !== undefined) viewed.tool_call_id = message.tool_call_id;
    // Few templates take a tool's answer in parts.
    if (parts && list.every(({ type }) => TEXTS.has(type))) viewed.content = joined(list, '\n');
  }
  if (typeof message.name === 'string') viewed.name = message.name;
  if (role === 'developer') viewed.tools = message.tools ?? null;
  return viewed as unknown as ChatMessage;
}

function sglangMessage(message: ChatMessage, { parts }: TemplateTraits): ChatMessage {
  const { role, content } = message;
  const viewed = Object.fromEntries(Object.entries(message).filter(([, value]) => value != null));
  const list = typeof content === 'object' && content !== null ? content : undefined;
  if (list === undefined) viewed.content = content ?? '';
  else viewed.content = parts && role !== 'tool' ? wrapped(list) : joined(list, ' ');
  if (role === 'assistant' && Array.isArray(message.tool_calls))
    viewed.tool_calls = message.tool_calls.map((call) => withReadArguments(call, false));
  return viewed as unknown as ChatMessage;
}

function wrapped(list: readonly ChatPart[]): ChatPart[] {
  const viewed: ChatPart[] = [];
  for (const part of list) {
    const media = MEDIA[part.type];
    if (media !== undefined) viewed.push({ type: media });
    else if (TEXTS.has(part.type)) viewed.push({ type: 'text', text: textOfPart(part) });
  }
  return viewed;
}

function joined(list: readonly ChatPart[], between: string): string {
  return list
    .filter(({ type }) => TEXTS.has(type))
    .map(textOfPart)
    .join(between);
}

/** The arguments of a tool call, which clients send as JSON, as the object that templates expect. */
function withReadArguments(call: unknown, always: boolean): unknown {
  if (!isFields(call) || !isFields(call.function)) return call;
  const { arguments: given } = call.function;
  const read = typeof given === 'string' ? readObject(given) : isFields(given) ? given : undefined;
  if (read === undefined && !always) return call;
  return { ...call, function: { ...call.function, arguments: read ?? {} } };
}

function readObject(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isFields(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

const isDeveloper = ({ role }: Fields): boolean => role === 'developer';
const asSystem = (message: Fields): Fields => ({ ...message, role: 'system' });

/** One system message in front of all others, as templates insist that know no developer. */
function systemFirst(messages: readonly Fields[]): ChatMessage[] {
  const systems = messages.filter(({ role }) => role === 'system');
  if (systems.length < 2 && messages[0]?.role === 'system') return messages as unknown as ChatMessage[];
  const texts = systems.map(({ content }) =>
    typeof content === 'string' ? content : joined(content as readonly ChatPart[], '\n'),
  );
  const merged = { role: 'system', content: texts.filter((text) => text !== '').join('\n\n') };
  return [merged, ...messages.filter(({ role }) => role !== 'system')] as unknown as ChatMessage[];
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
