import type { PublishedBatch, ReplayOutcome } from '../event-source.ts';
import { attach, parseEndpoint } from './zmq-endpoint.ts';
import { END_SEQ, seqFrame } from './zmq-frames.ts';
import type { Zmq } from './zmq-library.ts';

export interface ReplayRequest {
  readonly endpoint: string;
  readonly flag: string;
  readonly fromSeq: number;
  /** Longest wait for the next reply. */
  readonly timeoutMs?: number | undefined;
}

const TIMEOUT_MS = 2000;

/**
 * Asks a replay socket for all it keeps from a number on. Every reply form is understood: the payload is the
 * last frame and the number the one before it, whether or not a topic precedes them. The socket is a DEALER
 * (a REQ would get one reply only) and fresh for each request, so that no late reply of another is taken.
 */
export async function fetchReplay(
  zmq: Zmq,
  request: ReplayRequest,
  onBatch: (batch: PublishedBatch) => void,
): Promise<ReplayOutcome> {
  const timeoutMs = request.timeoutMs ?? TIMEOUT_MS;
  const socket = new zmq.Dealer({ receiveTimeout: timeoutMs, receiveHighWaterMark: 0, linger: 0 });
  let batches = 0;
  try {
    await attach(socket, parseEndpoint(request.endpoint, 'connect', request.flag), request.flag);
    await socket.send(['', seqFrame(request.fromSeq)]);
    for (;;) {
      const frames = await socket.receive();
      const payload = frames.at(-1);
      const seq = frames.at(-2);
      if (payload === undefined || seq?.length !== 8 || frames.length < 3) continue;
      const number = seq.readBigUInt64BE();
      if (payload.length === 0 || number === END_SEQ) return { end: 'complete', batches };
      batches++;
      onBatch({ topic: frames.length > 3 ? frames[1]!.toString() : '', seq: Number(number), payload });
    }
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EAGAIN') return { end: 'timeout', batches };
    throw thrown;
  } finally {
    socket.close();
  }
}
