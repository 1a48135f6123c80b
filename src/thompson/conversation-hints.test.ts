import { describe, expect, test } from 'vitest';
import { readConversationHints } from './conversation-hints.ts';

const headers = (given: Record<string, string>) => (name: string) => given[name];
const none = headers({});

describe('hints of a conversation', () => {
  test('come as annotations, agent hints or headers', () => {
    const said = { prefixId: 'p', totalRequests: 5, osl: '300', iat: 'low', goesOn: false };
    const annotations = ['prefix_id:p', 'total_requests:5', 'osl:300', 'iat:low'];
    expect(readConversationHints({ annotations }, none)).toEqual(said);
    const named = {
      'x-prefix-id': 'p',
      'x-prefix-total-requests': '5',
      'x-prefix-osl': '300',
      'x-prefix-iat': 'low',
    };
    expect(readConversationHints(undefined, headers(named))).toEqual(said);
    const agent_hints = { prefix_id: 'p', total_requests: 5, osl: 300, iat: 'low' as const };
    expect(readConversationHints({ agent_hints }, none)).toEqual({ ...said, osl: 300 });
  });

  test('of several forms are taken field by field, agent hints first and headers last', () => {
    const nvext = { agent_hints: { osl: 100 }, annotations: ['prefix_id:a', 'osl:200', 'iat:20'] };
    const named = headers({ 'x-prefix-id': 'h', 'x-prefix-iat': '30', 'x-prefix-total-requests': '7' });
    expect(readConversationHints(nvext, named)).toEqual({
      prefixId: 'a',
      totalRequests: 7,
      osl: 100,
      iat: '20',
      goesOn: false,
    });
  });

  test('are a session where nothing names one, which goes on until it says that it ends', () => {
    const session = { 'x-dynamo-session-id': 's' };
    expect(readConversationHints(null, headers(session))).toMatchObject({ prefixId: 's', goesOn: true });
    const final = headers({ ...session, 'x-dynamo-session-final': 'true' });
    expect(readConversationHints(null, final)).toMatchObject({ prefixId: 's', goesOn: false });
    expect(readConversationHints({ annotations: ['total_requests:2'] }, headers(session))).toMatchObject({
      prefixId: 's',
      totalRequests: 2,
      goesOn: false,
    });
    expect(readConversationHints(undefined, none)).toMatchObject({ prefixId: undefined, goesOn: false });
  });
});
