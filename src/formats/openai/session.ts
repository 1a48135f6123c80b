/** An agent's session, as its headers tell. */
export interface Session {
  readonly id: string | undefined;
  /** It ends with this request. */
  readonly final: boolean;
}

/** Dynamo's own header, then those of known clients, in Dynamo's order. */
const ID_HEADERS = ['x-dynamo-session-id', 'x-claude-code-session-id', 'thread-id', 'x-session-id'] as const;

/** The first session that the headers name. A sub-agent of Claude Code has prompts, so a session, of its own. */
export function readSession(header: (name: string) => string | undefined): Session {
  const final = /^(true|1)$/i.test(header('x-dynamo-session-final') ?? '');
  const name = ID_HEADERS.find((each) => header(each) !== undefined);
  const id = name === undefined ? undefined : header(name);
  const agent = name === 'x-claude-code-session-id' ? header('x-claude-code-agent-id') : undefined;
  return { id: agent === undefined ? id : `${id}/${agent}`, final };
}
