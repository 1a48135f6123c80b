import type { ChatDialect } from './tokenizer.ts';

/** A node of a parsed template; which fields it has depends on its type. */
interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Words by which SGLang takes a template for one of a model that sees or hears. */
const MEDIA = /image|audio|video|vision/;

/**
 * Whether a template takes a message's content apart itself, so that it is to get a list of parts; else it gets one text.
 * Told by a loop over some message's `content`, which each server looks for under its own names.
 */
export function takesContentParts(program: unknown, source: string, dialect: ChatDialect): boolean {
  const nodes = [...within(program)];
  const loops = nodes.filter(({ type }) => type === 'For');
  if (dialect === 'sglang') {
    const names = new Set(['message', 'msg', 'm']);
    return MEDIA.test(source) || loops.some(({ iterable }) => isContentOf(iterable, names));
  }
  const messages = messageNames(nodes, loops);
  const inMacros = new Set<Node>();
  const macros = nodes.filter(({ type }) => type === 'Macro');
  for (const macro of macros) {
    const bound = contentParameters(macro, nodes, messages);
    for (const loop of within(macro.body)) {
      if (loop.type !== 'For') continue;
      inMacros.add(loop);
      if (bound.has(nameOf(loop.iterable) ?? '')) return true;
    }
  }
  return loops.some(
    (loop) =>
      isContentOf(loop.iterable, messages) || (!inMacros.has(loop) && nameOf(loop.iterable) === 'content'),
  );
}

/** Names of loop variables that run over the messages, or over a variable that was made of them. */
function messageNames(nodes: readonly Node[], loops: readonly Node[]): ReadonlySet<string> {
  const lists = new Set(['messages']);
  const settings = nodes.filter(({ type }) => type === 'Set');
  for (let before = 0; before < lists.size; ) {
    before = lists.size;
    for (const { assignee, value } of settings) {
      const name = nameOf(assignee);
      if (name !== undefined && lists.has(nameOf(base(value)) ?? '')) lists.add(name);
    }
  }
  const names = new Set<string>();
  for (const { iterable, loopvar } of loops) {
    const name = nameOf(loopvar);
    if (name !== undefined && lists.has(nameOf(base(iterable)) ?? '')) names.add(name);
  }
  return names;
}

/** Parameters of a macro to which some call gives a message's content. */
function contentParameters(
  macro: Node,
  nodes: readonly Node[],
  messages: ReadonlySet<string>,
): ReadonlySet<string> {
  const parameters = (macro.args as Node[]).map((each) => nameOf(each) ?? nameOf(each.key));
  const bound = new Set<string>();
  for (const call of nodes) {
    if (call.type !== 'CallExpression' || nameOf(call.callee) !== nameOf(macro.name)) continue;
    for (const [i, argument] of (call.args as Node[]).entries()) {
      const keyword = argument.type === 'KeywordArgumentExpression';
      const name = keyword ? nameOf(argument.key) : parameters[i];
      if (name !== undefined && isContentOf(keyword ? argument.value : argument, messages)) bound.add(name);
    }
  }
  return bound;
}

/** `message.content` or `message['content']`, filtered or sliced. */
function isContentOf(value: unknown, messages: ReadonlySet<string>): boolean {
  const node = base(value);
  if (node?.type !== 'MemberExpression' || !messages.has(nameOf(node.object) ?? '')) return false;
  const property = node.property as Node;
  return node.computed === true
    ? property.type === 'StringLiteral' && property.value === 'content'
    : nameOf(property) === 'content';
}

/** What an expression is made of, without filters, tests, conditions and slices. */
function base(value: unknown): Node | undefined {
  let node = value as Node | null | undefined;
  for (;;) {
    if (node?.type === 'FilterExpression' || node?.type === 'TestExpression') node = node.operand as Node;
    else if (node?.type === 'SelectExpression') node = node.lhs as Node;
    else if (node?.type === 'MemberExpression' && (node.property as Node).type === 'SliceExpression')
      node = node.object as Node;
    else return node ?? undefined;
  }
}

function nameOf(value: unknown): string | undefined {
  const node = value as Node | null | undefined;
  return node?.type === 'Identifier' ? (node.value as string) : undefined;
}

function* within(value: unknown): Generator<Node> {
  if (Array.isArray(value)) {
    for (const each of value) yield* within(each);
  } else if (typeof value === 'object' && value !== null) {
    if (typeof (value as { type?: unknown }).type === 'string') yield value as Node;
    for (const each of Object.values(value)) yield* within(each);
  }
}
