import { fail, toError } from '../../base/errors.ts';

export type Zmq = typeof import('zeromq');

/** The binding of libzmq, an optional package; `flag` is what needs it. */
export async function loadZmq(flag: string): Promise<Zmq> {
  try {
    const zmq = await import('zeromq');
    // Whatever wants to be delivered has a time to linger of its own: the end of the process waits for nothing else.
    zmq.context.blocky = false;
    return zmq;
  } catch (cause) {
    const facts = { name: 'zeromq', reason: toError(cause).message, feature: flag };
    throw fail('KV_OPTIONAL_MISSING', facts, cause);
  }
}
