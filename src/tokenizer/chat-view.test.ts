import { describe, expect, test } from 'vitest';
import { ChatTemplate } from './chat-template.ts';
import type { ChatMessage, ChatRenderOptions } from './tokenizer.ts';

const TEXTS = '{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}';
const PARTS =
  "{% for m in messages %}<{{ m['role'] }}>{% if m.content is string %}{{ m.content }}{% else %}{% for part in m['content'] %}[{{ part.type }}:{{ part.text }}]{% endfor %}{% endif %}{% endfor %}";
const render = (
  source: string,
  messages: readonly ChatMessage[],
  options: ChatRenderOptions = {},
): string => {
  const template = new ChatTemplate(source, {});
  return template.render(template.view(messages, options), options);
};
const user = (...texts: string[]): ChatMessage => ({
  role: 'user',
  content: texts.map((text) => ({ type: 'text', text })),
});

describe('contents in parts', () => {
  test('are one text for a template that takes texts, joined as the server joins them', () => {
    const messages = [user('Hi', 'you'), { role: 'assistant', content: null }];
    expect(render(TEXTS, messages)).toBe('<user>Hi\nyou<assistant>');
    expect(render(TEXTS, messages, { dialect: 'sglang' })).toBe('<user>Hi you<assistant>');
  });

  test('stay parts for a template that takes them apart, and a text becomes one', () => {
    const messages = [user('Hi', 'you'), { role: 'user', content: 'Yes' }];
    expect(render(PARTS, messages)).toBe('<user>[text:Hi][text:you]<user>[text:Yes]');
    expect(render(PARTS, messages, { dialect: 'sglang' })).toBe('<user>[text:Hi][text:you]<user>Yes');
  });

  test('that are no text show as their medium, or not at all', () => {
    const content = [
      { type: 'image_url', image_url: { url: 'data:,' } },
      { type: 'text', text: 'What?' },
    ];
    expect(render(PARTS, [{ role: 'user', content }])).toBe('<user>[image:][text:What?]');
    expect(render(TEXTS, [{ role: 'user', content }])).toBe('<user>What?');
  });

  test.each([
    [
      '{% for message in messages %}{% set content = message.content %}{% for c in content %}{{ c.text }},{% endfor %}{% endfor %}',
    ],
    [
      '{% macro say(body) %}{% for c in body %}{{ c.text }},{% endfor %}{% endmacro %}{% for x in messages %}{{ say(x.content) }}{% endfor %}',
    ],
    [
      "{% macro say(n, body) %}{% for c in body %}{{ c.text }},{% endfor %}{% endmacro %}{% for x in messages %}{{ say(1, body=x['content']) }}{% endfor %}",
    ],
    [
      "{% set rest = messages[0:] %}{% for x in rest if x.role == 'user' %}{% for c in x.content | list %}{{ c.text }},{% endfor %}{% endfor %}",
    ],
  ])('are found to be taken apart by %s', (source) => {
    expect(render(source, [user('a', 'b')])).toBe('a,b,');
  });

  test('of a tool are one text even there', () => {
    const messages = [{ ...user('a', 'b'), role: 'tool', tool_call_id: 'c1' }];
    expect(render(PARTS, messages)).toBe('<tool>a\nb');
    expect(render(PARTS, messages, { dialect: 'sglang' })).toBe('<tool>a b');
  });
});

describe('calls of tools', () => {
  const CALLS =
    '{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}{{ m.tool_calls is defined }}{% endfor %}';
  const calling = (args: unknown): ChatMessage[] => [
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: args } }],
    },
  ];

  test('have their arguments read, as templates write them out again', () => {
    expect(render(CALLS, calling('{"a":1,"b":["x"]}'))).toBe('f{"a": 1, "b": ["x"]}true');
    expect(render(CALLS, calling('{"a":1}'), { dialect: 'sglang' })).toBe('f{"a": 1}true');
  });

  test('that are no object are none for vLLM, and left alone by SGLang', () => {
    expect(render(CALLS, calling('[1'))).toBe('f{}true');
    expect(render(CALLS, calling(''))).toBe('f{}true');
    expect(render(CALLS, calling('[1'), { dialect: 'sglang' })).toBe('f"[1"true');
  });

  test('are left out where there are none', () => {
    expect(render(CALLS, [{ role: 'assistant', content: 'x', tool_calls: [] }])).toBe('false');
  });
});

test('a developer is a system for templates that know none, and one system message stands first', () => {
  const messages = [
    { role: 'system', content: 'A' },
    { role: 'user', content: 'hi' },
    { role: 'developer', content: 'B', tools: [] },
  ];
  expect(render(TEXTS, messages)).toBe('<system>A\n\nB<user>hi');
  expect(render(`${TEXTS}{# "developer" #}`, messages)).toBe('<system>A<user>hi<developer>B');
  expect(render(TEXTS, messages.slice(1))).toBe('<system>B<user>hi');
});

test('what a model thought is known by both names', () => {
  const source = '{% for m in messages %}{{ m.reasoning }}{{ m.reasoning_content }}{{ m.note }}{% endfor %}';
  const messages = [{ role: 'assistant', content: 'x', reasoning_content: 'hm', note: 'N' }];
  expect(render(source, messages)).toBe('hmhm');
  expect(render(source, messages, { dialect: 'sglang' })).toBe('hmN');
});

test('tools are written with their known fields, in the server’s order', () => {
  const tools = [{ function: { parameters: { type: 'object' }, strict: null, name: 'f' }, type: 'function' }];
  const source = '{{ tools | tojson }}';
  expect(render(source, [], { tools })).toBe(
    '[{"type": "function", "function": {"name": "f", "description": null, "parameters": {"type": "object"}}}]',
  );
  expect(render(source, [], { tools, dialect: 'sglang' })).toBe(
    '[{"type": "function", "function": {"parameters": {"type": "object"}, "name": "f", "description": null}}]',
  );
});

test('an effort of reasoning is a variable, and switches thinking for vLLM’s templates', () => {
  const source = '{{ reasoning_effort }} {{ enable_thinking }}';
  expect(render(source, [], { reasoningEffort: 'low' })).toBe('low true');
  expect(render(source, [], { reasoningEffort: 'none' })).toBe('none false');
  expect(render(source, [], { reasoningEffort: 'low', variables: { enable_thinking: false } })).toBe(
    'low false',
  );
  expect(render(source, [], { reasoningEffort: 'low', dialect: 'sglang' })).toBe('low ');
});
