import { parse } from 'lossless-json';

export interface JsonAnswer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the service says
  readonly body: any;
}

/** Asks a service that speaks JSON; integers beyond 2^53 arrive as bigints. `body` may be JSON text. */
export async function ask(url: string, method: string, body?: unknown): Promise<JsonAnswer> {
  const response = await fetch(url, {
    method,
    ...(body !== undefined && {
      headers: { 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    }),
  });
  const text = await response.text();
  const number = (digits: string): number | bigint =>
    /^-?\d{16,}$/.test(digits) ? BigInt(digits) : Number(digits);
  return { status: response.status, body: parse(text, undefined, { parseNumber: number }) };
}

export const post = (url: string, body: unknown): Promise<JsonAnswer> => ask(url, 'POST', body);
export const get = (url: string): Promise<JsonAnswer> => ask(url, 'GET');
