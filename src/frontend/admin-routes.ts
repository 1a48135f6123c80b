import type { FastifyInstance } from 'fastify';
import { fail } from '../base/errors.ts';
import type { BusyThresholds } from '../kv/busy.ts';
import { type Decision, explain } from '../kv/decision-log.ts';
import type { ModelDirectory } from './model-directory.ts';
import { ROUTE_SCHEMAS } from './openapi.ts';
import { rankReport, refusedWorkers } from './rank-report.ts';
import type { WorkerPool } from './worker-pool.ts';

const DEFAULT_DECISIONS = 50;
/** Name on the wire, name inside, and the largest value. */
const THRESHOLDS = [
  ['active_decode_blocks_threshold', 'activeDecodeBlocks', 1],
  ['active_prefill_tokens_threshold', 'activePrefillTokens', Number.MAX_SAFE_INTEGER],
  ['active_prefill_tokens_threshold_frac', 'activePrefillTokensFrac', Number.MAX_VALUE],
] as const;

/** Routes for operators: overload thresholds, the latest routing decisions, and what is known of each rank. */
export function addAdminRoutes(app: FastifyInstance, directory: ModelDirectory): void {
  app.get('/busy_threshold', { schema: ROUTE_SCHEMAS.busyThresholds }, async () => ({
    thresholds: directory.pools().map((pool) => shownThresholds(pool.model, pool)),
  }));
  app.post('/busy_threshold', { schema: ROUTE_SCHEMAS.setBusyThreshold }, async (request) =>
    setThresholds(directory, request.body),
  );
  app.get('/debug/decisions', { schema: ROUTE_SCHEMAS.decisions }, async (request) => {
    const { limit, model } = request.query as { limit?: string; model?: string };
    return { decisions: latestDecisions(directory, readLimit(limit), model) };
  });
  app.get('/debug/ranks', { schema: ROUTE_SCHEMAS.ranks }, async (request) => {
    const { model } = request.query as { model?: string };
    const pools = chosenPools(directory, model);
    return { ranks: pools.flatMap(rankReport), refused: pools.flatMap(refusedWorkers) };
  });
  app.get('/debug/index', { schema: ROUTE_SCHEMAS.index }, async (request) => {
    const { model, worker_id: workerId } = request.query as { model?: string; worker_id?: string };
    return { ranks: chosenPools(directory, model).flatMap((pool) => heldBlocks(pool, workerId)) };
  });
}

/** Sets the thresholds that the body gives; with none it only reads. */
function setThresholds(directory: ModelDirectory, body: unknown): object {
  const fields = body as Readonly<Record<string, unknown>> | null;
  const invalid = (param: string, reason: string) =>
    fail('KV_REQUEST_INVALID', { param, reason: `${param}: ${reason}`, mend: 'See /openapi.json.' });
  if (typeof fields?.model !== 'string') throw invalid('model', 'must be the name of a model');
  let changes: BusyThresholds = {};
  for (const [wire, name, max] of THRESHOLDS) {
    const value = fields[wire];
    if (value === undefined || value === null) continue;
    if (typeof value !== 'number' || !(value >= 0 && value <= max))
      throw invalid(wire, `must be a number from 0 to ${max} (got ${JSON.stringify(value)})`);
    if (name === 'activePrefillTokens' && !Number.isInteger(value))
      throw invalid(wire, `must be a whole number (got ${value})`);
    changes = { ...changes, [name]: value };
  }
  const { pool } = directory.find(fields.model);
  if (Object.keys(changes).length > 0)
    for (const router of pool.routers.values())
      router.setBusyThresholds({ ...router.busyThresholds, ...changes });
  return shownThresholds(fields.model, pool);
}

function shownThresholds(model: string, pool: WorkerPool): object {
  const thresholds = pool.routers.get('decode')?.busyThresholds ?? {};
  return { model, ...Object.fromEntries(THRESHOLDS.map(([wire, name]) => [wire, thresholds[name] ?? null])) };
}

function readLimit(text: string | undefined): number {
  if (text === undefined) return DEFAULT_DECISIONS;
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw fail('KV_REQUEST_INVALID', {
    param: 'limit',
    reason: `limit: must be a whole number (got ${JSON.stringify(text)})`,
    mend: 'Write ?limit=50.',
  });
}

function chosenPools(directory: ModelDirectory, model: string | undefined): readonly WorkerPool[] {
  return model === undefined ? directory.pools() : [directory.find(model).pool];
}

/** Ids of the blocks that the index holds of each rank, as their engines name them. */
function heldBlocks(pool: WorkerPool, workerId: string | undefined): object[] {
  return [...pool.routers].flatMap(([hop, { intake }]) =>
    intake
      .states()
      .filter(({ worker }) => workerId === undefined || worker.workerId === workerId)
      .map(({ worker, state, lastSeq }) => {
        const blocks = Array.from(intake.heldBlocks(worker), String);
        return { model: pool.model, hop, worker, state, lastSeq, blocks };
      }),
  );
}

function latestDecisions(directory: ModelDirectory, limit: number, model: string | undefined): object[] {
  const shown = chosenPools(directory, model).flatMap((pool) =>
    [...pool.routers].flatMap(([hop, { decisions }]) => {
      const latest: Decision[] = [];
      for (const decision of decisions.latest()) {
        if (latest.length === limit) break;
        latest.push(decision);
      }
      return latest.map((decision) => ({ model: pool.model, hop, ...shownDecision(decision) }));
    }),
  );
  return shown.sort((a, b) => b.atWallMs - a.atWallMs).slice(0, limit);
}

function shownDecision(decision: Decision) {
  const { candidates: _record, rank: _rank, ...rest } = decision;
  return { ...rest, candidates: explain(decision) };
}
