import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';

/** What the client takes for the host of a server that is given by its address. */
const NO_NAME = 'localhost';

/**
 * Checks that a server's certificate is that of the host connected to. The client does not say which one that is where
 * servers are given as addresses: then the certificate has to name one of those.
 */
export function identityCheck(
  servers: readonly string[],
): (host: string, certificate: PeerCertificate) => Error | undefined {
  const addresses = servers.map(hostOf).filter((host) => isIP(host) !== 0);
  return (host, certificate) => {
    const error = checkServerIdentity(host, certificate);
    if (error === undefined || host !== NO_NAME || addresses.length === 0) return error;
    const errors = addresses.map((address) => checkServerIdentity(address, certificate));
    return errors.includes(undefined) ? undefined : errors[0];
  };
}

/** Of `host:port`; addresses of IPv6 stand in brackets. */
function hostOf(server: string): string {
  return server.slice(0, server.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}
