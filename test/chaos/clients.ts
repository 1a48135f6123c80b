import type { Random } from '../../src/base/random.ts';
import { handovers } from './expected-answer.ts';

export interface ClientTally {
  asked: number;
  answered: number;
  /** Answers that several engines gave together. */
  handedOver: number;
  left: number;
  /** Cut off when the router was killed, which no router can help. */
  cut: number;
  /** Asked again because the router was being restarted. */
  askedAgain: number;
  tokens: number;
  cachedTokens: number;
  promptTokens: number;
  /** The longest that anyone waited for a whole answer. */
  slowestMs: number;
  /** Broken promises, in words; must stay empty. */
  readonly wrong: string[];
}

export interface ClientsOptions {
  readonly url: () => string;
  /** State of the fleet, told with what goes wrong. */
  readonly shown: () => string;
  readonly random: Random;
  /** Whether the router is down, or was since the time given. */
  readonly routerDownSince: (sinceMs: number) => boolean;
  /** Whether that was without its being asked to end what it had begun. */
  readonly routerKilledSince: (sinceMs: number) => boolean;
}

const GROUPS = 24;
const MAX_WRONG = 20;
/** Far below the frontend's time limits, far above what an answer takes whose worker hangs at the start. */
const PATIENCE_MS = 60_000;

/** Clients that ask, read, sometimes leave, and check every byte. */
export class Clients {
  readonly tally: ClientTally = {
    asked: 0,
    answered: 0,
    handedOver: 0,
    left: 0,
    cut: 0,
    askedAgain: 0,
    tokens: 0,
    cachedTokens: 0,
    promptTokens: 0,
    slowestMs: 0,
    wrong: [],
  };
  readonly #options: ClientsOptions;
  readonly #loops: Promise<void>[] = [];
  #stopped = false;
  #number = 0;

  constructor(options: ClientsOptions) {
    this.#options = options;
  }

  start(count: number): void {
    for (let i = 0; i < count; i++) this.#loops.push(this.#loop());
  }

  /** Lets all requests under way end. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#loops);
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      await this.ask();
      await pause(20 + this.#options.random.nextInt(150));
    }
  }

  async ask(): Promise<void> {
    const { random } = this.#options;
    const group = random.nextInt(GROUPS);
    // Prefixes of one to about twenty blocks, shared by all of a group.
    const prefix = `Group ${group}. ${'All of this is common ground to the group. '.repeat(2 + (group % 12) * 2)}`;
    const prompt = `${prefix}Question ${this.#number++} of ${random.nextInt(1e9)}: `;
    const stream = random.next() < 0.8;
    const maxTokens = 16 + random.nextInt(180);
    const leaveAfter = stream && random.next() < 0.12 ? 1 + random.nextInt(60) : Number.POSITIVE_INFINITY;
    this.tally.asked++;
    for (;;) {
      const startMs = performance.now();
      const result = await complete(this.#options.url(), { prompt, maxTokens, stream, leaveAfter });
      if (result.how !== 'left' && result.how !== 'done' && this.#options.routerDownSince(startMs)) {
        if (result.text === '') {
          this.tally.askedAgain++;
          await pause(50);
          continue;
        }
        if (this.#options.routerKilledSince(startMs)) return void this.tally.cut++;
      }
      if (result.how === 'done') this.#timed(performance.now() - startMs);
      return this.#judge(prompt, maxTokens, result);
    }
  }

  #timed(ms: number): void {
    this.tally.slowestMs = Math.max(this.tally.slowestMs, Math.round(ms));
    if (ms > PATIENCE_MS)
      this.tally.wrong.push(`an answer took ${Math.round(ms)} ms; ${this.#options.shown()}`);
  }

  #judge(prompt: string, maxTokens: number, { how, text, usage, detail }: Reply): void {
    const { tally } = this;
    tally.tokens += text.length;
    const wrong = (what: string): void => {
      if (tally.wrong.length < MAX_WRONG)
        tally.wrong.push(
          `${what}; ${this.#options.shown()}; prompt ${JSON.stringify(prompt.slice(-40))}, answer ${JSON.stringify(text.slice(0, 300))}`,
        );
    };
    if (how !== 'left' && how !== 'done') {
      wrong(`${how}: ${detail}`);
      return;
    }
    const moves = handovers(prompt, text);
    if (moves === undefined) {
      wrong('tokens are missing or doubled');
      return;
    }
    if (moves > 0) tally.handedOver++;
    if (how === 'left') return void tally.left++;
    tally.answered++;
    if (text.length !== maxTokens) wrong(`${text.length} of ${maxTokens} tokens`);
    if (usage?.completion_tokens !== maxTokens)
      wrong(`usage of ${usage?.completion_tokens}, not ${maxTokens} tokens`);
    if (usage?.prompt_tokens !== prompt.length)
      wrong(`usage of ${usage?.prompt_tokens}, not ${prompt.length} prompt tokens`);
    tally.promptTokens += usage?.prompt_tokens ?? 0;
    tally.cachedTokens += usage?.prompt_tokens_details?.cached_tokens ?? 0;
  }
}

interface Usage {
  readonly prompt_tokens?: number;
  readonly completion_tokens?: number;
  readonly prompt_tokens_details?: { readonly cached_tokens?: number };
}

interface Reply {
  readonly how: 'done' | 'left' | 'refused' | 'broken' | 'unreachable';
  readonly text: string;
  readonly usage: Usage | undefined;
  readonly detail: string;
}

interface Question {
  readonly prompt: string;
  readonly maxTokens: number;
  readonly stream: boolean;
  readonly leaveAfter: number;
}

async function complete(url: string, { prompt, maxTokens, stream, leaveAfter }: Question): Promise<Reply> {
  const leave = new AbortController();
  const request = {
    model: 'kvasir-sim',
    prompt,
    max_tokens: maxTokens,
    ...(stream && { stream, stream_options: { include_usage: true } }),
  };
  let text = '';
  let usage: Usage | undefined;
  const reply = (how: Reply['how'], detail = ''): Reply => ({ how, text, usage, detail });
  try {
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      body: JSON.stringify(request),
      headers: { 'content-type': 'application/json' },
      signal: leave.signal,
    });
    if (!response.ok) return reply('refused', `${response.status} ${await response.text()}`);
    if (!stream) {
      const answer = (await response.json()) as { choices: { text: string }[]; usage: Usage };
      text = answer.choices[0]!.text;
      usage = answer.usage;
      return reply('done');
    }
    let rest = '';
    for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
      rest += piece;
      const events = rest.split('\n\n');
      rest = events.pop()!;
      for (const event of events) {
        if (event === 'data: [DONE]') return reply('done');
        const data = JSON.parse(event.slice('data: '.length));
        if (data.error !== undefined) return reply('broken', JSON.stringify(data.error));
        text += data.choices[0]?.text ?? '';
        usage = data.usage ?? usage;
      }
      if (text.length >= leaveAfter) {
        leave.abort();
        return reply('left');
      }
    }
    return reply('broken', 'the stream ended without [DONE]');
  } catch (thrown) {
    const { message, cause } = thrown as Error;
    return reply(text === '' ? 'unreachable' : 'broken', `${message} ${cause ?? ''}`);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
