import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

const root = resolve(process.env.KVASIR_SHARED ?? `${import.meta.dirname}/../../../shared`);

/** The path of a file of other people's data, or undefined (with the reason printed) when it is not there. */
export function sharedFile(relative: string): string | undefined {
  const path = resolve(root, relative);
  if (existsSync(path)) return path;
  process.stderr.write(
    `skipping tests of ${relative}: not found; set KVASIR_SHARED to the folder that holds it\n`,
  );
  return undefined;
}
