import type { FileHandle } from 'node:fs/promises';
import { open, readFile, truncate } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fail } from '../base/errors.ts';
import { makeFolder } from '../transport/folder.ts';

/** One finished measurement; a failed one carries its reason instead of a value. */
export interface JournalEntry {
  readonly key: string;
  readonly value?: unknown;
  readonly failed?: string;
  /** What the measurement took. */
  readonly probes?: number;
  /** Simulated time that it took, where time is simulated. */
  readonly virtualMs?: number;
}

/**
 * An append-only file of measurements, one JSON line each, synced before it counts. A run that was killed leaves at
 * most one torn line, which opening cuts off; every point before it is there for the next run. Failed points are not:
 * whoever runs again has mended something.
 */
export class PointJournal {
  readonly #file: FileHandle;
  readonly #entries: Map<string, JournalEntry>;

  private constructor(file: FileHandle, entries: Map<string, JournalEntry>) {
    this.#file = file;
    this.#entries = entries;
  }

  static async open(path: string): Promise<PointJournal> {
    makeFolder(dirname(path));
    const entries = await readEntries(path);
    return new PointJournal(await open(path, 'a'), entries);
  }

  /** Measurements found when it was opened, or made since. */
  get size(): number {
    return this.#entries.size;
  }

  get(key: string): JournalEntry | undefined {
    return this.#entries.get(key);
  }

  async append(entry: JournalEntry): Promise<void> {
    await this.#file.appendFile(`${JSON.stringify(entry)}\n`);
    await this.#file.datasync();
    this.#entries.set(entry.key, entry);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

async function readEntries(path: string): Promise<Map<string, JournalEntry>> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw fail('KV_FILE_UNREADABLE', { path, reason: (thrown as Error).message }, thrown);
  }
  const whole = bytes.lastIndexOf(0x0a) + 1;
  if (whole < bytes.length) await truncate(path, whole);
  const entries = new Map<string, JournalEntry>();
  for (const [i, line] of bytes.subarray(0, whole).toString('utf8').split('\n').slice(0, -1).entries()) {
    const entry = parseEntry(line);
    if (entry === undefined) {
      throw fail('KV_FILE_MALFORMED', {
        path,
        reason: `line ${i + 1} is not a measurement`,
        mend: 'Remove the line to measure that point again, or start over with --force-rerun.',
      });
    }
    if (entry.failed === undefined) entries.set(entry.key, entry);
  }
  return entries;
}

function parseEntry(line: string): JournalEntry | undefined {
  try {
    const entry = JSON.parse(line) as JournalEntry;
    return typeof entry?.key === 'string' ? entry : undefined;
  } catch {
    return undefined;
  }
}
