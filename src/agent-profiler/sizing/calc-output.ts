import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { fail, toError } from '../../base/errors.ts';
import type { Levels, SizingMetrics } from './gpu-sizing.ts';

export const CALC_OUTPUT = 'calc_runner_output.json';

const seconds = z.number().nonnegative();
const level = z.object({
  sizing_metrics: z.object({
    alerts: z.object({ workflow_interrupted: z.boolean().default(false) }).prefault({}),
    llm_latency_p95: seconds,
    workflow_runtime_p95: seconds,
    total_runtime: seconds.default(0),
    per_item_metrics: z
      .record(z.string(), z.object({ llm_latency: seconds, workflow_runtime: seconds }))
      .default({}),
  }),
});
const levels = z.record(z.string().regex(/^[1-9]\d{0,8}$/), level);

/** The levels of a calc_runner_output.json, older key names too; what does not fit is an error that names its place. */
export function readCalcOutput(path: string): Levels {
  const file = readJson(path);
  const key = ['calc_data', 'per_concurrency_data'].find((name) => member(file, name) !== undefined);
  if (key === undefined)
    throw malformed(
      path,
      'holds no calc_data',
      'Give a calc_runner_output.json, or CONCURRENCY=TRACES of a run.',
    );
  const data = member(file, key);
  const { data: read, error } = levels.safeParse(data);
  if (error !== undefined) {
    const { path: place, message, code } = error.issues[0]!;
    const at = [key, ...place].join('.');
    const value = place.reduce<unknown>((at, name) => member(at, name), data);
    if (code === 'invalid_key')
      throw malformed(path, `${at} is no concurrency`, 'Concurrencies are whole numbers from 1 up.');
    const expected = message.replace(/^Invalid input: /, '').toLowerCase();
    throw malformed(
      path,
      value === undefined ? `${at} is missing` : `${at} is ${shown(value)} (${expected})`,
      'Mend it, or take the concurrency out of the file.',
    );
  }
  if (Object.keys(read).length === 0)
    throw malformed(path, `${key} is empty`, 'Give the output of a run at two concurrencies or more.');
  return new Map(
    Object.entries(read).map(([concurrency, { sizing_metrics: metrics }]): [number, SizingMetrics] => [
      Number(concurrency),
      metrics,
    ]),
  );
}

/** Every `online/job_*` output below a folder of the calculator, or `job_*` in it; the newest first. */
export function findCalcOutputs(dir: string): readonly string[] {
  const found = [join(dir, 'online'), dir].map((folder) => jobsIn(folder)).find((jobs) => jobs.length > 0);
  if (found === undefined)
    throw malformed(
      dir,
      `the folder holds no online/job_*/${CALC_OUTPUT}`,
      'Measure first (--run or --endpoint with the same --calc-output-dir), or name the folder of an earlier calculation.',
    );
  return found;
}

function jobsIn(folder: string): readonly string[] {
  let names: readonly string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  const jobs = names
    .filter((name) => name.startsWith('job_'))
    .flatMap((name) => {
      const path = join(folder, name, CALC_OUTPUT);
      const modifiedMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
      return modifiedMs === undefined ? [] : [{ path, modifiedMs }];
    });
  return jobs
    .sort((a, b) => b.modifiedMs - a.modifiedMs || (a.path < b.path ? 1 : -1))
    .map(({ path }) => path);
}

function readJson(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw fail('KV_FILE_UNREADABLE', { path, reason: toError(cause).message }, cause);
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw malformed(path, `is not JSON: ${toError(cause).message}`, 'Give a calc_runner_output.json.');
  }
}

function member(value: unknown, name: PropertyKey): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Record<PropertyKey, unknown>)[name]
    : undefined;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function malformed(path: string, reason: string, mend: string): Error {
  return fail('KV_FILE_MALFORMED', { path, reason, mend });
}
