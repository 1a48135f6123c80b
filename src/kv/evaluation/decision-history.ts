import { z } from 'zod';
import { fail } from '../../base/errors.ts';
import { CandidateTable } from '../policies/candidate-table.ts';

const column = z.array(z.number().nullable());
const decisionSchema = z.object({
  kind: z.literal('decision'),
  router: z.string(),
  number: z.number().int(),
  policy: z.string(),
  pinned_by: z.string().nullable(),
  block_size: z.number().int().min(1),
  isl: z.number().int().min(1),
  expected_output_tokens: z.number().nullable(),
  chosen: z.number().int().min(0),
  candidates: z.object({
    worker: z.array(z.string()).min(1),
    probability: z.array(z.number().min(0).max(1)),
    device_blocks: column,
    host_pinned_blocks: column,
    disk_blocks: column,
    external_blocks: column,
    cached_tokens: column,
    prefill_tokens: column,
    active_blocks: column,
    additional_blocks: column,
    active_requests: column,
  }),
});
const outcomeSchema = z.object({
  kind: z.literal('outcome'),
  router: z.string(),
  number: z.number().int(),
  outcome: z.enum(['success', 'failure', 'cancelled']),
  latency_ms: z.number().min(0),
  output_tokens: z.number().min(0),
});
const lineSchema = z.discriminatedUnion('kind', [decisionSchema, outcomeSchema]);

/** A decision of the past with what came of it. */
export interface PastDecision {
  readonly policy: string;
  readonly blockSize: number;
  readonly isl: number;
  readonly expectedOutputTokens: number | undefined;
  readonly workers: readonly string[];
  readonly probabilities: readonly number[];
  readonly chosen: number;
  readonly table: CandidateTable;
  readonly latencyMs: number;
  readonly outputTokens: number;
}

export interface DecisionHistory {
  /** Those that a client's answer came of, in order. */
  readonly decisions: readonly PastDecision[];
  /** Lines and decisions that say nothing of a policy, by reason. */
  readonly left: Readonly<Record<'pinned' | 'cancelled' | 'failed' | 'open' | 'broken', number>>;
}

type DecisionRow = z.infer<typeof decisionSchema>;

/**
 * Joins decisions with their outcomes. A decision whose outcome is missing is left out, as is a line that a crash cut
 * off; a file without any decision at all is refused.
 */
export function readDecisions(lines: Iterable<string>, path: string): DecisionHistory {
  const open = new Map<string, DecisionRow>();
  const decisions: PastDecision[] = [];
  const left = { pinned: 0, cancelled: 0, failed: 0, open: 0, broken: 0 };
  let seen = 0;
  for (const line of lines) {
    if (line.trim() === '') continue;
    const row = parseLine(line);
    if (row === undefined) left.broken++;
    else if (row.kind === 'decision') {
      seen++;
      // A restart numbers anew: what was open by this number will never be told.
      if (open.has(keyOf(row))) left.open++;
      if (row.pinned_by === null) open.set(keyOf(row), row);
      else left.pinned++;
    } else {
      const decision = open.get(keyOf(row));
      if (decision === undefined) continue;
      open.delete(keyOf(row));
      if (row.outcome === 'success')
        decisions.push(pastDecision(decision, row.latency_ms, row.output_tokens));
      else left[row.outcome === 'failure' ? 'failed' : 'cancelled']++;
    }
  }
  left.open += open.size;
  if (seen === 0)
    throw fail('KV_FILE_MALFORMED', {
      path,
      reason: 'holds no routing decisions',
      mend: 'Give a file that --decision-log-file wrote.',
    });
  return { decisions, left };
}

function parseLine(line: string): z.infer<typeof lineSchema> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  const { success, data } = lineSchema.safeParse(value);
  if (!success) return undefined;
  if (data.kind === 'outcome') return data;
  const { candidates, chosen } = data;
  const count = candidates.worker.length;
  const whole = Object.values(candidates).every(({ length }) => length === count);
  return whole && candidates.probability[chosen]! > 0 ? data : undefined;
}

function keyOf({ router, number }: { readonly router: string; readonly number: number }): string {
  return `${number} ${router}`;
}

function pastDecision(row: DecisionRow, latencyMs: number, outputTokens: number): PastDecision {
  const { candidates, chosen, isl, policy } = row;
  return {
    policy,
    blockSize: row.block_size,
    isl,
    expectedOutputTokens: row.expected_output_tokens ?? undefined,
    workers: candidates.worker,
    probabilities: candidates.probability,
    chosen,
    table: tableOf(candidates),
    latencyMs,
    outputTokens,
  };
}

function tableOf(candidates: DecisionRow['candidates']): CandidateTable {
  const table = new CandidateTable();
  table.begin(candidates.worker.length);
  for (let row = 0; row < table.count; row++) {
    table.rank[row] = row;
    const at = (values: readonly (number | null)[]): number => values[row] ?? 0;
    table.setOverlap(
      row,
      at(candidates.device_blocks),
      at(candidates.host_pinned_blocks),
      at(candidates.disk_blocks),
      at(candidates.external_blocks),
    );
    table.cachedTokens[row] = at(candidates.cached_tokens);
    table.prefillTokens[row] = at(candidates.prefill_tokens);
    table.activeBlocks[row] = at(candidates.active_blocks);
    table.additionalBlocks[row] = at(candidates.additional_blocks);
    table.activeRequests[row] = at(candidates.active_requests);
  }
  return table;
}
