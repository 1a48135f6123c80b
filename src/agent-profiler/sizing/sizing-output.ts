import { randomUUID } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fail, toError } from '../../base/errors.ts';
import { writeFileAtomic } from '../../transport/atomic-file.ts';
import { CALC_OUTPUT } from './calc-output.ts';
import type { SizingResult, SizingTargets } from './gpu-sizing.ts';
import { sizingCharts } from './sizing-charts.ts';

export interface SizingJob {
  readonly dir: string;
  /** `online`: measured; `offline`: calculated again from what was. */
  readonly mode: 'online' | 'offline';
  /** Keep the jobs of this mode that are there. */
  readonly append: boolean;
  readonly nowS: number;
  /** SVG to PNG. */
  readonly rasterise: (svg: string, scale: number) => Promise<Uint8Array>;
}

const PNG_SCALE = 2;

/** Writes a job's folder, then removes the older jobs of its mode unless it appends; returns the folder. */
export async function writeSizingJob(
  job: SizingJob,
  result: SizingResult,
  targets: SizingTargets,
): Promise<{ readonly jobDir: string; readonly removed: readonly string[] }> {
  const parent = join(job.dir, job.mode);
  const name = `job_${job.append ? randomUUID() : Math.floor(job.nowS)}`;
  const jobDir = join(parent, name);
  for (const [chart, svg] of Object.entries(sizingCharts(result, targets))) {
    await write(join(jobDir, `${chart}.svg`), svg);
    await write(join(jobDir, `${chart}.png`), await job.rasterise(svg, PNG_SCALE));
  }
  await write(join(jobDir, CALC_OUTPUT), `${JSON.stringify(result, null, 2)}\n`);
  if (job.append) return { jobDir, removed: [] };
  const older = readdirSync(parent).filter((other) => other.startsWith('job_') && other !== name);
  for (const other of older) rmSync(join(parent, other), { recursive: true, force: true });
  return { jobDir, removed: older.map((other) => join(parent, other)) };
}

async function write(path: string, content: string | Uint8Array): Promise<void> {
  try {
    await writeFileAtomic(path, content);
  } catch (cause) {
    throw fail('KV_FILE_UNWRITABLE', { path, reason: toError(cause).message }, cause);
  }
}
