import { closeSync, openSync, writeSync } from 'node:fs';
import { exponential, SeededRandom } from '../src/base/random.ts';

const PROMPT = 800;
const RUN_S = 6;
const AT_ONCE = 11;

/** Writes a trace file: 17 events a request, 3 LLM calls with prompts of 800 characters, 2 tools, Poisson arrivals, about 11 requests at once. */
export function writeAgentTrace(path: string, events: number, seed = 1): number {
  const random = new SeededRandom(seed);
  const file = openSync(path, 'w');
  let pieces: string[] = ['['];
  let written = 0;
  let arrivalS = 1_700_000_000;
  for (let request = 0; written < events; request++) {
    arrivalS += exponential(random, RUN_S / AT_ONCE);
    const steps = requestEvents(request, arrivalS, random);
    written += steps.length;
    pieces.push(
      `${request === 0 ? '' : ','}\n{"request_number":${request},"intermediate_steps":[${steps.map((s) => JSON.stringify(s)).join(',')}]}`,
    );
    if (request % 200 === 0) {
      writeSync(file, pieces.join(''));
      pieces = [];
    }
  }
  writeSync(file, `${pieces.join('')}\n]\n`);
  closeSync(file);
  return written;
}

const SYSTEM =
  'You are a helpful shop assistant who answers briefly, uses tools, and never guesses prices. '.repeat(6);

function requestEvents(request: number, startS: number, random: SeededRandom): object[] {
  const id = `r${request}`;
  let timeS = startS;
  const root = { function_id: 'root', function_name: 'root', parent_id: null, parent_name: null };
  const fn = { function_id: `${id}-fn`, function_name: '<workflow>', parent_id: 'root', parent_name: 'root' };
  const step = (gapS: number, parent: string, ancestry: object, payload: object): object => {
    timeS += gapS;
    return {
      parent_id: parent,
      function_ancestry: ancestry,
      payload: { ...payload, event_timestamp: Math.round(timeS * 1e6) / 1e6 },
    };
  };
  const steps = [
    step(0, 'root', root, {
      event_type: 'WORKFLOW_START',
      UUID: `${id}-wf`,
      name: 'agent',
      data: { input: 'q' },
    }),
  ];
  steps.push(
    step(0.001, `${id}-wf`, fn, {
      event_type: 'FUNCTION_START',
      UUID: `${id}-fn`,
      name: '<workflow>',
      data: { input: 'q' },
    }),
  );
  let prompt = `${SYSTEM}Question ${request}: price of item ${random.nextInt(500)}?`;
  for (let call = 0; call < 3; call++) {
    const uuid = `${id}-llm${call}`;
    const input = prompt.padEnd(PROMPT, ` context ${request}`);
    const name = call === 2 ? 'big-model' : 'small-model';
    const shared = { UUID: uuid, name, framework: 'langchain' };
    steps.push(
      step(0.01, `${id}-fn`, fn, {
        ...shared,
        event_type: 'LLM_START',
        data: { input },
        usage_info: usage(0, 0, call === 0 ? 0 : 1),
      }),
    );
    const spanS = timeS;
    steps.push(
      step(0.2 + random.next() * 0.2, `${id}-fn`, fn, {
        ...shared,
        event_type: 'LLM_NEW_TOKEN',
        data: { chunk: 'tok' },
      }),
    );
    const output = `step ${call} of ${request}`;
    const end = {
      ...shared,
      event_type: 'LLM_END',
      span_event_timestamp: spanS,
      data: { output },
      usage_info: usage(200, 20 + random.nextInt(200), 0),
    };
    steps.push(step(0.3 + random.next(), `${id}-fn`, fn, end));
    prompt += `\n${output}`;
    if (call === 2) break;
    const tool = {
      UUID: `${id}-tool${call}`,
      name: call === 0 ? 'catalog' : 'currency',
      framework: 'langchain',
    };
    steps.push(step(0.005, `${id}-fn`, fn, { ...tool, event_type: 'TOOL_START', data: { input: 'item' } }));
    steps.push(
      step(0.1 + random.next() * 0.5, `${id}-fn`, fn, {
        ...tool,
        event_type: 'TOOL_END',
        span_event_timestamp: timeS,
        data: { output: 'result' },
      }),
    );
    prompt += `\nresult ${random.nextInt(50)}`;
  }
  steps.push(
    step(0.002, `${id}-wf`, fn, {
      event_type: 'FUNCTION_END',
      UUID: `${id}-fn`,
      name: '<workflow>',
      data: { output: 'done' },
    }),
  );
  steps.push(
    step(0.001, 'root', root, {
      event_type: 'WORKFLOW_END',
      UUID: `${id}-wf`,
      name: 'agent',
      data: { output: 'done' },
    }),
  );
  return steps;
}

function usage(prompt: number, completion: number, gap: number): object {
  const tokens = {
    prompt_tokens: prompt,
    completion_tokens: completion,
    cached_tokens: Math.floor(prompt / 4),
    reasoning_tokens: 0,
    total_tokens: prompt + completion,
  };
  return { token_usage: tokens, num_llm_calls: 1, seconds_between_calls: gap };
}
