import { describe, expect, test } from 'vitest';
import { readBrokenFinish, readEngineError, refusalFault } from './engine-error.ts';

const DEAD = 'EngineCore encountered an issue. See stack trace (above) for the root cause.';
const bad = { type: 'BadRequestError', param: null, code: 400 };

describe('an error of an engine', () => {
  test.each([
    ['vLLM 0.32 with a dead core', { message: DEAD, type: 'InternalServerError', param: null, code: 500 }],
    ['vLLM 0.9 to 0.13 with a dead core', { message: DEAD, ...bad }],
    [
      'vLLM 0.9, engine V0',
      { message: 'Engine loop is not running. Inspect the stacktrace to find …', ...bad },
    ],
    ['vLLM 0.6', { object: 'error', message: 'Background loop has errored already.', ...bad }],
    ['vLLM whose generation failed, without a word', { message: '', ...bad }],
    ['a type and nothing else', { message: 'gone', type: 'EngineDeadError' }],
    ['a code in digits', { message: 'gone', code: '503' }],
    [
      'SGLang that ran out of memory',
      { object: 'error', message: 'OOM', type: 'INTERNAL_SERVER_ERROR', code: 500 },
    ],
    ['SGLang that took too long', { message: 'Request timeout', type: 'SERVICE_UNAVAILABLE', code: 503 }],
    ['TensorRT-LLM on its way out', { message: 'LLM is shutting down', ...bad }],
    ['a text that names it', 'vllm.v1.engine.exceptions.EngineDeadError'],
  ])('is its own: %s', (_, error) => {
    expect(readEngineError(error, true)?.fault).toBe('engine');
    expect(readEngineError(error, false)?.fault).toBe('engine');
  });

  test.each([
    ['a prompt that is too long', { message: "This model's maximum context length is 2048 tokens", ...bad }],
    [
      'SGLang, which spells the type so',
      { message: 'Input length exceeds …', type: 'BAD_REQUEST', code: 400 },
    ],
    [
      'a model that is not there',
      { message: 'The model `x` does not exist.', type: 'NotFoundError', code: 404 },
    ],
    ['words about dead things', { message: 'stop word "the server was here" is not allowed', ...bad }],
  ])('is of the request while nothing was generated, and else open to doubt: %s', (_, error) => {
    expect(readEngineError(error, false)?.fault).toBe('request');
    expect(readEngineError(error, true)?.fault).toBe('unclear');
  });

  test('is unclear when it names neither code nor type, and is none when there is none', () => {
    expect(readEngineError({ message: 'out of luck' }, true)).toEqual({
      message: 'out of luck',
      fault: 'unclear',
    });
    expect(readEngineError(null, true)).toBeUndefined();
    expect(readEngineError(undefined, true)).toBeUndefined();
    expect(readEngineError(7, true)).toBeUndefined();
  });

  test('may be the reason of a finish', () => {
    for (const reason of ['abort', 'error']) expect(readBrokenFinish(reason)?.fault).toBe('engine');
    for (const reason of ['stop', 'length', 'tool_calls', 'repetition', null, undefined])
      expect(readBrokenFinish(reason)).toBeUndefined();
  });

  test('in place of an answer is its own only if it says so: one that lives may refuse what it is asked', () => {
    expect(refusalFault(500, { message: DEAD, type: 'InternalServerError', code: 500 }, DEAD)).toBe('engine');
    expect(refusalFault(500, undefined, '')).toBe('engine');
    expect(refusalFault(400, { message: DEAD, ...bad }, DEAD)).toBe('engine');
    expect(refusalFault(500, undefined, 'Internal Server Error')).toBe('unclear');
    expect(refusalFault(400, { message: 'no', ...bad }, 'no')).toBe('request');
    expect(refusalFault(404, undefined, '')).toBe('request');
    expect(refusalFault(501, undefined, 'not implemented')).toBe('request');
  });
});
