import { nkeys } from '@nats-io/transport-node';

type KeyPair = ReturnType<typeof nkeys.createUser>;

const UNLIMITED = {
  ...{ subs: -1, data: -1, payload: -1, imports: -1, exports: -1, conn: -1, leaf: -1 },
  wildcards: true,
};
const STORAGE = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };

/** A NATS operator with one account and one user, as `nsc` makes them, for a server and its clients. */
export function natsAccount(): { readonly config: string; readonly credentials: string } {
  const [operator, user] = [nkeys.createOperator(), nkeys.createUser()];
  const [account, system] = [nkeys.createAccount(), nkeys.createAccount()];
  const none = { pub: {}, sub: {} };
  const limits = { subs: -1, data: -1, payload: -1 };
  const operatorToken = token(operator, operator, 'operator', {});
  const accountToken = (pair: KeyPair, limits: object) =>
    token(pair, operator, 'account', { limits, default_permissions: none });
  const accounts = [
    `${account.getPublicKey()}: ${accountToken(account, { ...UNLIMITED, ...STORAGE })}`,
    // JetStream needs one, which has none itself.
    `${system.getPublicKey()}: ${accountToken(system, UNLIMITED)}`,
  ];
  const userToken = token(user, account, 'user', { ...none, ...limits });
  const config = [
    `operator: ${operatorToken}`,
    'resolver: MEMORY',
    `system_account: ${system.getPublicKey()}`,
    `resolver_preload: { ${accounts.join(', ')} }`,
  ].join('\n');
  const seed = new TextDecoder().decode(user.getSeed());
  return { config, credentials: block('NATS USER JWT', userToken) + block('USER NKEY SEED', seed) };
}

function token(subject: KeyPair, issuer: KeyPair, type: string, facts: object): string {
  const part = (value: object | Uint8Array): string =>
    Buffer.from(value instanceof Uint8Array ? value : JSON.stringify(value)).toString('base64url');
  const claims = {
    jti: subject.getPublicKey(),
    iat: 1_700_000_000,
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    name: type,
    nats: { ...facts, type, version: 2 },
  };
  const signed = `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part(claims)}`;
  return `${signed}.${part(issuer.sign(new TextEncoder().encode(signed)))}`;
}

function block(title: string, text: string): string {
  return `-----BEGIN ${title}-----\n${text}\n------END ${title}------\n\n`;
}
