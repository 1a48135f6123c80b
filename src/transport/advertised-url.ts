import { hostname } from 'node:os';

const ALL_ADDRESSES = ['0.0.0.0', '[::]', '::', '*'];

/** The URL under which others reach a listener: with the host given, or this machine's name for one on all addresses. */
export function advertisedUrl(url: string, host: string | undefined): string {
  const parsed = new URL(url);
  if (host !== undefined) parsed.hostname = host;
  else if (ALL_ADDRESSES.includes(parsed.hostname)) parsed.hostname = hostname();
  return parsed.href.replace(/\/$/, '');
}
