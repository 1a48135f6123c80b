import { readAgentHints } from '../formats/openai/agent-annotations.ts';
import type { RequestExtensions } from '../formats/openai/request.ts';
import { readSession } from '../formats/openai/session.ts';

/** What a client says of the conversation of a request; levels as it wrote them, a word or a number. */
export interface ConversationHints {
  readonly prefixId: string | undefined;
  readonly totalRequests: number | undefined;
  readonly osl: string | number | undefined;
  readonly iat: string | number | undefined;
  /** It goes on, though nobody said for how long: a session that has not ended. */
  readonly goesOn: boolean;
}

const HEADERS = {
  prefix_id: 'x-prefix-id',
  total_requests: 'x-prefix-total-requests',
  osl: 'x-prefix-osl',
  iat: 'x-prefix-iat',
} as const;

/**
 * Hints of every form in one, field by field: `nvext.agent_hints`, then `nvext.annotations`, then `x-prefix-*` headers; a
 * session's headers name the conversation where nothing else does.
 */
export function readConversationHints(
  nvext: RequestExtensions | null | undefined,
  header: (name: string) => string | undefined,
): ConversationHints {
  const object = nvext?.agent_hints ?? {};
  const annotated = readAgentHints(nvext?.annotations);
  // The same reading as of annotations: the first colon ends the key.
  const headed = readAgentHints(Object.entries(HEADERS).map(([key, name]) => `${key}:${header(name) ?? ''}`));
  const session = readSession(header);
  const totalRequests = object.total_requests ?? annotated.totalRequests ?? headed.totalRequests;
  const named = object.prefix_id ?? annotated.prefixId ?? headed.prefixId;
  return {
    prefixId: named ?? session.id,
    totalRequests,
    osl: object.osl ?? annotated.osl ?? headed.osl,
    iat: object.iat ?? annotated.iat ?? headed.iat,
    goesOn: totalRequests === undefined && named === undefined && session.id !== undefined && !session.final,
  };
}
