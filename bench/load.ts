import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createParser } from 'eventsource-parser';
import { answerChunks } from '../src/formats/openai/answer.ts';
import { SSE_DONE, sseFrame } from '../src/formats/sse/frame.ts';
import { AnswerRecorder } from '../src/load/answer-recorder.ts';
import { sendLag } from '../src/load/measure/verdict.ts';
import { OpenAiTarget } from '../src/load/openai-target.ts';
import { PromptWriter } from '../src/load/prompt-words.ts';
import type { LoadRun } from '../src/load/record.ts';
import { runLoad } from '../src/load/run-load.ts';
import { syntheticPlan } from '../src/load/synthetic-plan.ts';
import { type Bench, median, rounded, sampleInTurns } from './harness.ts';

const CHUNKS = 200;

const pieces = answerChunks('chat', { id: 'chatcmpl-6f1c7f0e-bench', created: 1_757_500_000, model: 'm' });
const stream = [
  ...Array.from({ length: CHUNKS }, () => Buffer.from(sseFrame(pieces.text(0, ' token')))),
  Buffer.from(
    sseFrame(JSON.stringify({ choices: [{ index: 0, delta: {}, finish_reason: 'length' }] })) + SSE_DONE,
  ),
];

export const bench: Bench = {
  summary: 'reading one SSE chunk into a record; eventsource-parser and JSON.parse',
  floor: 1.2,
  async run({ quick }) {
    const { subjectUs, baselineUs } = sampleInTurns(record, parse, quick ? 40 : 200, {
      subject: 20,
      baseline: 20,
    });
    const value = median(subjectUs) / CHUNKS;
    const baseline = median(baselineUs) / CHUNKS;
    const ratio = median(baselineUs.map((slow, i) => slow / subjectUs[i]!));
    return { value, baseline, unit: 'µs/chunk', ratio, details: await capacity(quick) };
  },
};

function record(): void {
  const recorder = new AnswerRecorder(0, false);
  stream.forEach((bytes, i) => {
    recorder.push(bytes, i);
  });
  if (recorder.finish(stream.length, 200).chunkMs.length !== CHUNKS + 1) throw new Error('chunks were lost');
}

function parse(): void {
  let content = 0;
  const decoder = new TextDecoder();
  const parser = createParser({
    onEvent: ({ data }) => {
      if (data === '[DONE]') return;
      const chunk = JSON.parse(data) as { choices: { delta: { content?: string } }[] };
      if ((chunk.choices[0]?.delta.content ?? '') !== '') content++;
    },
  });
  for (const bytes of stream) parser.feed(decoder.decode(bytes, { stream: true }));
  if (content !== CHUNKS) throw new Error('chunks were lost');
}

/** What one generator process does on this machine, over real sockets, and how punctual it is meanwhile. */
async function capacity(quick: boolean): Promise<Record<string, number>> {
  const peer = fork(new URL('./load-peer.ts', import.meta.url), [], { stdio: 'inherit' });
  const [{ url }] = (await once(peer, 'message')) as [{ url: string }];
  const target = new OpenAiTarget({
    url,
    model: 'm',
    form: 'chat',
    ignoreEos: false,
    continuousUsage: false,
    extra: {},
    writer: new PromptWriter({ seed: 1 }),
  });
  try {
    const requests = quick ? 1000 : 5000;
    await runLoad(syntheticPlan({ requests: 300, isl: 50, osl: 2, concurrency: 50 }), target);
    const short = await runLoad(syntheticPlan({ requests, isl: 50, osl: 1, concurrency: 50 }), target);
    const long = await runLoad(
      syntheticPlan({ requests: requests / 10, isl: 50, osl: 400, concurrency: 20 }),
      target,
    );
    const arrival = { kind: 'constant', rate: 500 } as const;
    const paced = await runLoad(syntheticPlan({ requests, isl: 50, osl: 20, arrival }), target);
    return {
      requests_per_cpu_second: rounded(requests / cpuSeconds(short)),
      chunks_per_cpu_second: rounded(((requests / 10) * 400) / cpuSeconds(long)),
      send_lag_p50_ms_at_500_rps: rounded(sendLag(paced.records)?.p50Ms ?? 0),
      send_lag_p99_ms_at_500_rps: rounded(sendLag(paced.records)?.p99Ms ?? 0),
    };
  } finally {
    await target.stop();
    peer.kill();
  }
}

function cpuSeconds({ health, durationMs }: LoadRun): number {
  return (health.cpuShare * durationMs) / 1000;
}
