import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, sleepUntil } from '../base/clock.ts';
import { writeFileAtomic } from './atomic-file.ts';

const MARK = 'engine.pid';
const POLL_MS = 100;
/** From the polite signal to the other one. */
const GRACE_MS = 10_000;

/** Notes in a folder the child that this process started, so that the next run can end it should this one be killed. */
export async function markChild(workDir: string, pid: number): Promise<void> {
  await writeFileAtomic(join(workDir, MARK), JSON.stringify({ pid, born: await birthOf(pid) }));
}

export async function unmarkChild(workDir: string): Promise<void> {
  await rm(join(workDir, MARK), { force: true });
}

/** Ends the children that a killed run marked in the folders below one: engines would hold the GPUs. Says each. */
export async function endLeftChildren(
  outputDir: string,
  clock: Clock,
  log: (line: string) => void,
): Promise<void> {
  for (const folder of await readdir(outputDir).catch(() => [])) {
    const workDir = join(outputDir, folder);
    const mark = await readMark(workDir);
    if (mark === undefined) continue;
    // The number may be another process's by now.
    if (mark.born !== undefined && mark.born === (await birthOf(mark.pid))) {
      log(`Ending the engine of ${folder}, left behind by an earlier run (process ${mark.pid})`);
      await endGroup(mark.pid, clock);
    }
    await unmarkChild(workDir);
  }
}

/** Asks a process group to end, then makes it. */
async function endGroup(pid: number, clock: Clock): Promise<void> {
  signalGroup(pid, 'SIGTERM');
  const deadlineMs = clock.nowMs() + GRACE_MS;
  while (signalGroup(pid, 0) && clock.nowMs() < deadlineMs) await sleepUntil(clock, clock.nowMs() + POLL_MS);
  signalGroup(pid, 'SIGKILL');
}

/** False when there is no such group. */
function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-pid, signal);
    return true;
  } catch {
    return false;
  }
}

async function readMark(workDir: string): Promise<{ pid: number; born: string | undefined } | undefined> {
  try {
    const { pid, born } = JSON.parse(await readFile(join(workDir, MARK), 'utf8')) as {
      pid?: unknown;
      born?: string;
    };
    return Number.isSafeInteger(pid) && (pid as number) > 1 ? { pid: pid as number, born } : undefined;
  } catch {
    return undefined;
  }
}

/** Start time in the kernel's ticks, which tells a process from a later one of its number; undefined where unknown. */
async function birthOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything; field 22 is the 20th behind it.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
