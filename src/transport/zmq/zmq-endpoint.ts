import { fail, toError } from '../../base/errors.ts';

/** An address of ZMQ and which side of it we are. */
export interface ZmqEndpoint {
  readonly mode: 'bind' | 'connect';
  /** As libzmq takes it, `tcp://127.0.0.1:5557`. */
  readonly address: string;
}

/** Reads `tcp://host:port`, `ipc://path` or `inproc://name`; `bind+` or `connect+` before it wins over the default. */
export function parseEndpoint(text: string, mode: 'bind' | 'connect', flag: string): ZmqEndpoint {
  const match = /^(?:(bind|connect)\+)?((tcp|ipc|inproc):\/\/.+)$/.exec(text);
  const tcp = match?.[3] === 'tcp' ? /:(\d+|\*)$/.exec(match[2]!) : undefined;
  if (match === null || tcp === null || Number(tcp?.[1] ?? 0) > 65535) {
    const mend = 'Give tcp://HOST:PORT, ipc://PATH or inproc://NAME.';
    throw fail('KV_SETTING_INVALID', { setting: flag, value: text, reason: 'is no ZMQ endpoint', mend });
  }
  return { mode: (match[1] as 'bind' | 'connect' | undefined) ?? mode, address: match[2]! };
}

/**
 * The endpoint of a data-parallel rank, as vLLM and SGLang lay them out: tcp adds the rank to the port,
 * inproc appends `_dp<rank>`. A free port (0 or `*`) stays free for every rank.
 */
export function rankEndpoint(address: string, rank: number, flag: string): string {
  if (rank === 0) return address;
  if (address.startsWith('inproc://')) return `${address}_dp${rank}`;
  const port = /^(tcp:\/\/.*):(\d+|\*)$/.exec(address);
  if (port === null) {
    const facts = { setting: flag, value: address, reason: 'has no place for more than one rank' };
    throw fail('KV_SETTING_INVALID', { ...facts, mend: 'Give a tcp endpoint.' });
  }
  return Number(port[2]) > 0 ? `${port[1]}:${Number(port[2]) + rank}` : address;
}

/** What `bind` and `connect` of every kind of socket have in common. */
interface Attachable {
  bind(address: string): Promise<void>;
  connect(address: string): void;
  readonly lastEndpoint: string | null;
}

/** Binds or connects, and gives the address with the port that was bound. */
export async function attach(socket: Attachable, endpoint: ZmqEndpoint, flag: string): Promise<string> {
  const address = endpoint.address.replace(/^(tcp:\/\/.*):0$/, '$1:*');
  const [, host = address, port = ''] = /^tcp:\/\/(.*):(.*)$/.exec(address) ?? [];
  try {
    if (endpoint.mode === 'connect') {
      socket.connect(address);
      return address;
    }
    await socket.bind(address);
    return socket.lastEndpoint?.replace(/\0+$/, '') ?? address;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') throw fail('KV_PORT_BUSY', { port, host, flag }, cause);
    throw fail('KV_LISTEN_FAILED', { port, host, flag, reason: toError(cause).message }, cause);
  }
}
