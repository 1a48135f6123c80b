import { randomBytes } from 'node:crypto';
import { open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeFolder } from './folder.ts';

const LEFTOVER = /\.[0-9a-f]{12}\.tmp$/;

/** Writes a file whole or not at all: beside its place first, synced, then renamed over it. Makes missing folders. */
export async function writeFileAtomic(path: string, content: string | Uint8Array): Promise<void> {
  makeFolder(dirname(path));
  const beside = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(beside, 'wx');
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (thrown) {
    await rm(beside, { force: true });
    throw thrown;
  }
}

/** Removes what writers that were killed have left beside files of a folder and of those in it. */
export async function removeLeftovers(dir: string): Promise<void> {
  const names = await readdir(dir, { recursive: true });
  await Promise.all(
    names.filter((name) => LEFTOVER.test(name)).map((name) => rm(join(dir, name), { force: true })),
  );
}
