import { fail } from '../base/errors.ts';
import { closest } from '../base/settings.ts';
import type { EngineRole } from '../formats/openai/model-card.ts';
import { ENGINE_KINDS, type EngineKind } from './discovery.ts';
import { PULLED_EVENTS } from './pulled-event-source.ts';

/** What a person says of an engine; the rest is asked of the engine. */
export interface EngineSpec {
  /** Normalised base URL. */
  readonly url: string;
  readonly kvEvents?: string;
  readonly replay?: string;
  readonly model?: string;
  readonly tokenizer?: string;
  readonly blockSize?: number;
  readonly role?: EngineRole;
  readonly dpSize?: number;
  readonly kind?: EngineKind;
  /** Name of the environment variable that holds the engine's API key: settings are logged, keys are not. */
  readonly apiKeyEnv?: string;
  /** Of a prefilling SGLang engine. */
  readonly bootstrapPort?: number;
}

const ROLES: readonly EngineRole[] = ['prefill', 'decode', 'both'];
const ZMQ_ADDRESS = /^(bind\+)?(tcp:\/\/.+:\d+|ipc:\/\/.+|inproc:\/\/.+)$/;

type Reader = (value: string, refuse: (reason: string, mend: string) => Error) => Partial<EngineSpec>;

const READERS: Readonly<Record<string, Reader>> = {
  'kv-events': (value, refuse) => ({
    kvEvents: value === PULLED_EVENTS ? value : zmqAddress(value, refuse),
  }),
  replay: (value, refuse) => ({ replay: zmqAddress(value, refuse) }),
  model: (value) => ({ model: value }),
  tokenizer: (value) => ({ tokenizer: value }),
  'block-size': (value, refuse) => ({ blockSize: positive(value, refuse) }),
  dp: (value, refuse) => ({ dpSize: positive(value, refuse) }),
  'api-key-env': (value) => ({ apiKeyEnv: value }),
  'bootstrap-port': (value, refuse) => ({ bootstrapPort: positive(value, refuse) }),
  role: (value, refuse) => ({ role: oneOf(ROLES, value, refuse) }),
  kind: (value, refuse) => ({ kind: oneOf(ENGINE_KINDS, value, refuse) }),
};

/** Reads `http://host:port[,key=value]...`; throws `KV_SETTING_INVALID` that names the piece and the mend. */
export function parseEngineSpec(text: string, setting = '--engine'): EngineSpec {
  const [address = '', ...pieces] = text.trim().split(',');
  const invalid = (value: string, reason: string, mend: string): Error =>
    fail('KV_SETTING_INVALID', { setting, value: JSON.stringify(value), reason, mend });
  let spec: EngineSpec = { url: normaliseUrl(address, (reason, mend) => invalid(address, reason, mend)) };
  for (const piece of pieces) {
    const at = piece.indexOf('=');
    const key = at < 0 ? piece : piece.slice(0, at);
    const value = at < 0 ? '' : piece.slice(at + 1);
    const read = READERS[key];
    if (read === undefined) {
      const near = closest(key, Object.keys(READERS));
      const mend = `${near === undefined ? '' : `Did you mean ${near}? `}Known keys: ${Object.keys(READERS).join(', ')}.`;
      throw invalid(piece, `has the unknown key ${JSON.stringify(key)}`, mend);
    }
    if (value === '') throw invalid(piece, 'has no value', `Write ${key}=VALUE.`);
    spec = { ...spec, ...read(value, (reason, mend) => invalid(piece, reason, mend)) };
  }
  return spec;
}

/** Scheme, host and port in lower case without defaults, then the path without `/v1` and trailing slashes. */
export function normaliseUrl(text: string, refuse: (reason: string, mend: string) => Error): string {
  const mend = 'Write http://HOST:PORT.';
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw refuse('is not a URL', mend);
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw refuse(`has the scheme ${url.protocol.slice(0, -1)}`, mend);
  if (url.username !== '' || url.password !== '')
    throw refuse('holds credentials', 'Leave them out: settings are logged.');
  const path = url.pathname.replace(/\/+$/, '').replace(/\/v1$/, '');
  return `${url.protocol}//${url.host}${path}`;
}

/** The id of an engine that no discovery service numbered: xxh3-64 (seed 0) of its normalised URL. */
export function workerIdOf(url: string, hashBytes: (bytes: Uint8Array, seed: bigint) => bigint): string {
  return hashBytes(new TextEncoder().encode(url), 0n).toString();
}

function zmqAddress(value: string, refuse: (reason: string, mend: string) => Error): string {
  if (ZMQ_ADDRESS.test(value)) return value;
  throw refuse(
    'is not a ZMQ address',
    'Write tcp://HOST:PORT, with bind+ before it to bind; for TensorRT-LLM kv-events=pull.',
  );
}

function positive(value: string, refuse: (reason: string, mend: string) => Error): number {
  const number = Number(value);
  if (Number.isSafeInteger(number) && number > 0) return number;
  throw refuse('is not a positive whole number', 'Give 1 or more.');
}

function oneOf<T extends string>(
  choices: readonly T[],
  value: string,
  refuse: (reason: string, mend: string) => Error,
): T {
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw refuse('is not one of its values', `Choose from ${choices.join(', ')}.`);
  return found;
}

/** The API key that a spec names; undefined where it names none. Throws `KV_SETTING_INVALID` if the environment lacks it. */
export function engineKey(
  { apiKeyEnv }: EngineSpec,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  if (apiKeyEnv === undefined) return undefined;
  const key = env[apiKeyEnv];
  if (key !== undefined && key !== '') return key;
  throw fail('KV_SETTING_INVALID', {
    setting: '--engine',
    value: `api-key-env=${apiKeyEnv}`,
    reason: 'names an environment variable that is not set',
    mend: `Set ${apiKeyEnv} to the engine’s API key.`,
  });
}
