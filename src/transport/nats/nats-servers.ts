import { fail } from '../../base/errors.ts';

/** How to reach NATS; what is secret never reaches logs. */
export interface NatsServers {
  /** `host:port`, several of a cluster. */
  readonly servers: readonly string[];
  readonly tls: boolean;
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
}

/** Reads `nats://[user:password@]host[:port]`, several parted by commas; throws `KV_SETTING_INVALID`. */
export function parseNatsServers(text: string, setting = '--nats-server'): NatsServers {
  const urls = text
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')
    .map((each) => parseServer(each, setting));
  const [first] = urls;
  if (first === undefined) throw invalid(setting, text, 'names no server');
  const user = decoded(first.username, setting);
  const pass = decoded(first.password, setting);
  return {
    servers: urls.map(({ hostname, port }) => `${hostname}:${port === '' ? '4222' : port}`),
    tls: urls.some(({ protocol }) => protocol === 'tls:'),
    ...(pass !== '' && { user, pass }),
    ...(pass === '' && user !== '' && { token: user }),
  };
}

function parseServer(text: string, setting: string): URL {
  const whole = text.includes('://') ? text : `nats://${text}`;
  // What cannot be parsed may hold a password: it is not repeated.
  if (!URL.canParse(whole)) throw invalid(setting, 'one of the servers', 'is not a URL');
  const url = new URL(whole);
  if (url.protocol !== 'nats:' && url.protocol !== 'tls:')
    throw invalid(setting, `${url.protocol}//${url.host}`, `has the scheme ${url.protocol.slice(0, -1)}`);
  if (url.hostname === '') throw invalid(setting, 'one of the servers', 'names no host');
  return url;
}

function decoded(part: string, setting: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw invalid(setting, 'the user or password', 'has a % that begins no encoded byte');
  }
}

function invalid(setting: string, value: string, reason: string): Error {
  const mend = 'Write nats://HOST:4222, several of a cluster parted by commas.';
  return fail('KV_SETTING_INVALID', { setting, value, reason, mend });
}
