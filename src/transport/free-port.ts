import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fail } from '../base/errors.ts';

/** Below the ports that Linux, macOS and Windows give to outgoing connections, any of which may take a port that was free. */
const FIRST = 20_000;
const LAST = 32_000;
const TRIES = 100;

/** A port of the loopback address that nobody listens on now. Throws KV_INTERNAL when none was found. */
export async function freePort(): Promise<number> {
  for (let left = TRIES; left > 0; left--) {
    const port = randomInt(FIRST, LAST);
    const probe = createServer();
    try {
      await once(probe.listen(port, '127.0.0.1'), 'listening');
    } catch {
      continue;
    }
    probe.close();
    await once(probe, 'close');
    return port;
  }
  throw fail('KV_INTERNAL', { reason: `none of ${TRIES} ports from ${FIRST} to ${LAST} was free` });
}
