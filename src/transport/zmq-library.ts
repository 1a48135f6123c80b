import { fail, toError } from '../base/errors.ts';

export type Zmq = typeof import('zeromq');

/** The binding of libzmq, an optional package; `flag` is what needs it. */
export async function loadZmq(flag: string): Promise<Zmq> {
  try {
    return await import('zeromq');
  } catch (cause) {
    const facts = { name: 'zeromq', reason: toError(cause).message, feature: flag };
    throw fail('KV_OPTIONAL_MISSING', facts, cause);
  }
}
