import type { PeerCertificate } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { identityCheck } from './server-identity.ts';

const certificate = (subjectaltname: string) => ({ subject: {}, subjectaltname }) as PeerCertificate;

describe('the certificate of a NATS server', () => {
  test.each([
    ['nats.example', ['nats.example:4222'], 'DNS:nats.example', true],
    ['nats.example', ['nats.example:4222'], 'DNS:other.example', false],
    ['localhost', ['10.0.0.1:4222', '10.0.0.2:4222'], 'IP Address:10.0.0.2', true],
    ['localhost', ['10.0.0.1:4222'], 'IP Address:10.0.0.3', false],
    ['localhost', ['[::1]:4222'], 'IP Address:0:0:0:0:0:0:0:1', true],
    ['localhost', ['localhost:4222'], 'IP Address:10.0.0.1', false],
    ['nats.example', ['nats.example:4222', '10.0.0.1:4222'], 'IP Address:10.0.0.1', false],
  ])('of host %s among %j that names %s fits: %s', (host, servers, names, fits) => {
    expect(identityCheck(servers)(host, certificate(names)) === undefined).toBe(fits);
  });
});
