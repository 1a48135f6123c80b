import { SeededRandom } from '../src/base/random.ts';
import { parseChatRequest, parseCompletionRequest } from '../src/formats/openai/request.ts';
import { type Bench, median, rounded, sampleInTurns } from './harness.ts';

const TOKENS = 16_384;
const TURNS = 64;
const TURN_CHARACTERS = 1000;

const COMPLETION = (random: SeededRandom): string =>
  JSON.stringify({
    model: 'm',
    prompt: Array.from({ length: TOKENS }, () => random.nextInt(128_256)),
    max_tokens: 100,
    stream: true,
  });

const CHAT = JSON.stringify({
  model: 'm',
  messages: Array.from({ length: TURNS }, (_, turn) => ({
    role: turn % 2 === 0 ? 'user' : 'assistant',
    content: 'word '.repeat(TURN_CHARACTERS / 5),
  })),
  stream: true,
});

export const bench: Bench = {
  summary: `checking a request of ${TOKENS} token ids; JSON.parse of its body`,
  floor: 1,
  run({ quick }) {
    const text = COMPLETION(new SeededRandom(1));
    const body: unknown = JSON.parse(text);
    const chat: unknown = JSON.parse(CHAT);
    const samples = quick ? 60 : 300;
    const { subjectUs, baselineUs } = sampleInTurns(
      () => parseCompletionRequest(body),
      () => JSON.parse(text),
      samples,
      { subject: 20, baseline: 20 },
    );
    const chats = sampleInTurns(
      () => parseChatRequest(chat),
      () => JSON.parse(CHAT),
      samples,
      { subject: 20, baseline: 20 },
    );
    const value = median(subjectUs);
    const baseline = median(baselineUs);
    return {
      value,
      baseline,
      unit: 'us',
      ratio: baseline / value,
      details: {
        [`chat_of_${TURNS}_turns_us`]: rounded(median(chats.subjectUs)),
        [`chat_of_${TURNS}_turns_parse_us`]: rounded(median(chats.baselineUs)),
      },
    };
  },
};
