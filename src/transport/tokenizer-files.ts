import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { fail, toError } from '../base/errors.ts';
import type { TokenizerFiles } from '../tokenizer/library-tokenizer.ts';

const decompress = promisify(gunzip);

/** Reads `tokenizer.json` (or a folder that holds it, or it gzipped) and what lies beside it. */
export async function readTokenizerFiles(path: string): Promise<TokenizerFiles> {
  const file = (await isFolder(path)) ? join(path, 'tokenizer.json') : path;
  const folder = dirname(file);
  const [tokenizer, config, chatTemplate] = await Promise.all([
    readJson(file),
    readJson(join(folder, 'tokenizer_config.json'), true),
    readText(join(folder, 'chat_template.jinja'), true),
  ]);
  return { tokenizer: tokenizer ?? {}, config, chatTemplate };
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (cause) {
    throw fail('KV_FILE_UNREADABLE', { path, reason: toError(cause).message }, cause);
  }
}

async function readJson(path: string, optional = false): Promise<Record<string, unknown> | undefined> {
  const text = await readText(path, optional);
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
    throw new Error('it holds no JSON object');
  } catch (cause) {
    const mend = 'Give the tokenizer.json of a model.';
    throw fail('KV_FILE_MALFORMED', { path, reason: toError(cause).message, mend }, cause);
  }
}

async function readText(path: string, optional = false): Promise<string | undefined> {
  try {
    const bytes = await readFile(path);
    return (path.endsWith('.gz') ? await decompress(bytes) : bytes).toString('utf8');
  } catch (cause) {
    if (optional && (cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fail('KV_FILE_UNREADABLE', { path, reason: toError(cause).message }, cause);
  }
}
