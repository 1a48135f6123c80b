import { toError } from '../base/errors.ts';
import type { ChatMessage } from '../tokenizer/tokenizer.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import type { ExaminationParts } from './engine-examination.ts';
import { type Finding, ok, warn, wrong } from './finding.ts';

/** What tokenizers disagree about: spaces, case, digits, other scripts, emoji, code. */
const SAMPLES: readonly string[] = [
  'The quick brown fox jumps over the lazy dog.',
  '  two  spaces,\tTABS\n\nand lines 1234567890 3.14159',
  'Größe, naïveté, 東京都庁, Привет, مرحبا 🦊🚀',
  'for (let i = 0; i < n; i++) { sum += values[i] ?? 0; }',
];
/** What servers prepare for the template in ways of their own. */
const CHATS: readonly (readonly ChatMessage[])[] = [
  [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'What is a KV cache?' },
  ],
  [
    {
      role: 'user',
      content: [
        { type: 'text', text: 'In parts:' },
        { type: 'text', text: 'What is a KV cache?' },
      ],
    },
  ],
  [
    { role: 'user', content: 'What is the weather?' },
    {
      role: 'assistant',
      content: null,
      tool_calls: [
        { id: 'call00001', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } },
      ],
    },
    { role: 'tool', tool_call_id: 'call00001', content: 'Rain.' },
  ],
];

/** Whether prompts get the same tokens here as in the engine: blocks are found by their tokens. */
export async function examineTokenizer(
  instance: WorkerInstance,
  { client, encoders, tokenizer, timeoutMs, signal }: ExaminationParts,
): Promise<Finding[]> {
  const check = 'tokenizer';
  const source = instance.tokenizer ?? tokenizer;
  const ask = async (body: object): Promise<readonly number[] | undefined> => {
    const url = `${instance.url}/tokenize`;
    const request = { model: instance.models[0], ...body };
    const { status, body: answer } = await client.json(url, {
      method: 'POST',
      body: request,
      timeoutMs,
      signal,
    });
    const tokens = (answer as { tokens?: unknown } | undefined)?.tokens;
    // llama.cpp's speaks otherwise, and answers with none.
    return status === 200 && Array.isArray(tokens) && tokens.length > 0 ? (tokens as number[]) : undefined;
  };
  try {
    const first = await ask({ prompt: SAMPLES[0] });
    if (first === undefined)
      return [
        warn(
          check,
          `the engine has no /tokenize to compare ${source ?? 'anything'} with`,
          'Make sure that --tokenizer is the model’s own.',
        ),
      ];
    if (source === undefined)
      return [
        warn(
          check,
          'none is given, so every prompt takes a hop to /tokenize',
          'Write tokenizer=PATH behind the address, the folder that holds the model’s tokenizer.json.',
        ),
      ];
    const encoder = await encoders.encoderFor({ ...instance, tokenizer: source }, () => [instance]);
    const mend = `Give the model’s own tokenizer in place of ${source}.`;
    for (const sample of SAMPLES) {
      const difference = firstDifference(await encoder.encode(sample), (await ask({ prompt: sample })) ?? []);
      if (difference === undefined) continue;
      return [
        wrong(check, `${source} differs from the engine’s in ${JSON.stringify(sample)}: ${difference}`, mend),
      ];
    }
    let chats = 0;
    for (const messages of CHATS) {
      // Not every template takes each of them, and not every engine tokenises chats.
      const rendered = await ask({ messages, add_generation_prompt: true });
      if (rendered === undefined) continue;
      const own = await encoder.encodeChat(messages, { addGenerationPrompt: true });
      const difference = firstDifference(own, rendered);
      if (difference !== undefined)
        return [wrong('chat template', `${source} renders a chat differently: ${difference}`, mend)];
      chats++;
    }
    return [ok(check, `${source} equals the engine’s in ${SAMPLES.length} samples and ${chats} chats`)];
  } catch (thrown) {
    const { message, hint } = toError(thrown);
    return [wrong(check, message, hint)];
  }
}

function firstDifference(ours: ArrayLike<number>, theirs: ArrayLike<number>): string | undefined {
  const length = Math.max(ours.length, theirs.length);
  for (let i = 0; i < length; i++)
    if (ours[i] !== theirs[i])
      return `token ${i} is ${ours[i] ?? 'missing'} here and ${theirs[i] ?? 'missing'} there`;
  return undefined;
}
