import { posix } from 'node:path';
import { fail } from '../../base/errors.ts';
import { CLAIM_MOUNT } from './claim-pod.ts';

/** A path on the claim as a setting gives it: absolute, below the mount, without steps upward. */
export function claimPath(setting: string, value: string): string {
  const wrong = (reason: string): Error =>
    fail('KV_SETTING_INVALID', { setting, value, reason, mend: `Give a path below ${CLAIM_MOUNT}/.` });
  if (!value.startsWith(`${CLAIM_MOUNT}/`)) throw wrong(`is not below ${CLAIM_MOUNT}/`);
  if (value.split('/').includes('..')) throw wrong('holds ..');
  const path = posix.normalize(value).replace(/\/$/, '');
  if (path === CLAIM_MOUNT) throw wrong('is the whole claim');
  return path;
}

/** Where a file of the claim goes below the folder that was asked for; undefined for one that would leave it. */
export function placeOf(path: string, folder: string): string | undefined {
  if (!path.startsWith(`${folder}/`)) return undefined;
  const place = path.slice(folder.length + 1);
  const odd = place.startsWith('/') || place.split(/[/\\]/).some((part) => part === '..' || part === '');
  return odd ? undefined : place;
}
