import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { fail, toError } from '../base/errors.ts';

/**
 * Makes a folder and those above it. Node's own recursive mkdir never returns where a file system answers
 * "no such file" to a folder whose parent is there, as /proc does. Throws KV_FILE_UNWRITABLE.
 */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path);
  } catch (thrown) {
    const parent = dirname(path);
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'EEXIST' && statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
    if (code === 'ENOENT' && !existsSync(parent)) {
      makeFolder(parent);
      makeFolder(path);
    } else throw fail('KV_FILE_UNWRITABLE', { path, reason: toError(thrown).message }, thrown);
  }
}
