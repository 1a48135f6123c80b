/** The frame of one event whose data is a single line. */
export function sseFrame(data: string): string {
  return `data: ${data}\n\n`;
}

/** The event that ends every OpenAI stream, also after an error. */
export const SSE_DONE = sseFrame('[DONE]');

/** The frame of an event that has a name, which its data names too. */
export function namedFrame(type: string, data: object): string {
  return `event: ${type}\n${sseFrame(JSON.stringify({ type, ...data }))}`;
}
