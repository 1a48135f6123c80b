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

/** What receiving sockets have in common. */
interface Receiver {
  readonly closed: boolean;
  receive(): Promise<Buffer[]>;
}

/**
 * The next message, or nothing once the socket is closed. The binding answers a receive that it put off (every
 * 513th of a backlog) with ENOTSOCK when the socket closes meanwhile, where its own iterator expects EAGAIN.
 */
export async function nextMessage(socket: Receiver): Promise<Buffer[] | undefined> {
  if (socket.closed) return undefined;
  try {
    return await socket.receive();
  } catch (thrown) {
    if (socket.closed) return undefined;
    throw thrown;
  }
}
