import { describe, expect, test } from 'vitest';
import { hintWord, mergeAgentHints } from './agent-hints.ts';
import { parseChatRequest } from './request.ts';

const NONE = () => undefined;
const headersOf = (headers: Record<string, string>) => (name: string) => headers[name];
const nvextOf = (nvext: object) =>
  parseChatRequest({ model: 'm', messages: [{ role: 'user', content: 'x' }], nvext }).nvext ?? undefined;

describe('agent hints', () => {
  test('know the words for lengths and gaps', () => {
    expect([
      hintWord('osl', 'low'),
      hintWord('osl', ' High'),
      hintWord('iat', 'MEDIUM'),
      hintWord('iat', '99.9'),
      hintWord('iat', 'soon'),
      hintWord('osl', 0),
    ]).toEqual([128, 2048, 250, 99, undefined, undefined]);
  });

  test('take each field from the strongest form that has it', () => {
    const { hints, forms } = mergeAgentHints(
      nvextOf({
        agent_hints: { prefix_id: 'body', osl: 'low' },
        annotations: ['prefix_id:note', 'total_requests:4', 'osl:7', 'function_path:plan/search'],
      }),
      headersOf({ 'x-prefix-id': 'head', 'x-prefix-total-requests': '9', 'x-prefix-iat': 'LOW' }),
    );
    expect(hints).toMatchObject({
      prefixId: 'body',
      totalRequests: 4,
      osl: 128,
      interarrivalMs: 50,
      functionPath: ['plan', 'search'],
    });
    expect(forms).toEqual(['agent_hints', 'annotations', 'headers']);
  });

  test('take malformed annotations and headers for absent', () => {
    const { hints, forms } = mergeAgentHints(
      nvextOf({ annotations: ['osl:long', 'call_index:0', 'total_requests:ten'] }),
      headersOf({ 'x-prefix-total-requests': '-1', 'x-prefix-latency-sensitivity': 'very' }),
    );
    expect(Object.values(hints).filter((value) => value !== undefined)).toEqual([]);
    expect(forms).toEqual([]);
    expect(mergeAgentHints(undefined, NONE).forms).toEqual([]);
  });

  test('of a wrong type in the body are an error that names them', () => {
    expect(() => nvextOf({ agent_hints: { total_requests: 0 } })).toThrow('nvext.agent_hints.total_requests');
    expect(() => nvextOf({ agent_hints: { osl: 'long' } })).toThrow('nvext.agent_hints.osl');
  });
});
