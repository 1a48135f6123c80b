import { readFile } from 'node:fs/promises';
import { fail, toError } from '../base/errors.ts';

/** A file that the user named, as text. */
export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    throw fail('KV_FILE_UNREADABLE', { path, reason: toError(thrown).message }, thrown);
  }
}
