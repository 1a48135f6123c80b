import type { Scrape } from './scrape.ts';

export interface Decision {
  readonly requestId: string;
  readonly atWallMs: number;
  readonly policy: string;
  readonly isl: number;
  readonly worker: { readonly workerId: string; readonly dpRank: number };
  readonly predictedCachedTokens: number;
  readonly actualCachedTokens?: number;
  readonly candidates: readonly unknown[];
}

interface TileFigures {
  readonly kveNow: number | undefined;
  readonly ttftMs: number | undefined;
  readonly itlMs: number | undefined;
  readonly tokensPerS: number;
  readonly inFlight: number;
}

const element = (id: string): HTMLElement => document.querySelector<HTMLElement>(`#${id}`)!;

/** The figures of the last seconds, and of the whole life of the process. */
export function showTiles(now: Scrape, { kveNow, ttftMs, itlMs, tokensPerS, inFlight }: TileFigures): void {
  const total = (family: string): number => now.sum(family, {}, `${family}_sum`);
  const prompt = total('dynamo_frontend_input_sequence_tokens');
  const kve = prompt > 0 ? total('dynamo_frontend_cached_tokens') / prompt : undefined;
  const predicted = now.sum('kvasir_router_predicted_cached_tokens_total');
  const reported = now.sum('kvasir_router_reported_cached_tokens_total');
  const failed = now.sum('dynamo_frontend_requests_total', { status: 'error' });
  const tiles: readonly (readonly [string, string, string])[] = [
    ['KV efficiency', percent(kveNow), `${percent(kve)} since start`],
    ['TTFT p95', milliseconds(ttftMs), 'last 10 s'],
    ['ITL p95', milliseconds(itlMs), 'last 10 s'],
    ['Output', `${Math.round(tokensPerS).toLocaleString()} tok/s`, `${inFlight} requests in flight`],
    ['Prediction', reported > 0 ? percent(predicted / reported) : '–', 'predicted / reported cached tokens'],
    ['Requests', now.sum('dynamo_frontend_requests_total').toLocaleString(), `${failed} failed`],
  ];
  element('tiles').replaceChildren(
    ...tiles.map(([name, value, note]) =>
      node('div', 'tile', node('span', 'name', name), node('b', '', value), node('span', 'note', note)),
    ),
  );
}

export function showWorkers(now: Scrape): void {
  const blocks = now.byLabel('dynamo_frontend_worker_active_decode_blocks', 'worker_id');
  const prefill = now.byLabel('dynamo_frontend_worker_active_prefill_tokens', 'worker_id');
  const ages = now.byLabel('kvasir_index_rank_event_age_seconds', 'worker');
  const states = new Map(now.active('kvasir_index_rank_state').map(({ worker, state }) => [worker, state]));
  const ttft = now.byLabel('dynamo_frontend_worker_last_time_to_first_token_seconds', 'worker_id');
  const known = now.byLabel('dynamo_component_router_worker_registered', 'router_worker_id');
  const rows = [...new Set([...known.keys(), ...blocks.keys()])].sort().map((worker) => {
    const state = states.get(worker) ?? 'approximate';
    return row(
      [
        worker,
        state,
        count(blocks.get(worker)),
        count(prefill.get(worker)),
        seconds(ages.get(worker)),
        milliseconds((ttft.get(worker) ?? Number.NaN) * 1000),
      ],
      state,
    );
  });
  fill(
    'workers',
    ['worker', 'cache view', 'active blocks', 'prefill tokens', 'last event', 'last TTFT'],
    rows,
  );
}

export function showDecisions(decisions: readonly Decision[]): void {
  const rows = decisions.map(
    ({ atWallMs, requestId, policy, isl, worker, predictedCachedTokens, actualCachedTokens, candidates }) => {
      const right =
        actualCachedTokens === undefined
          ? ''
          : actualCachedTokens === predictedCachedTokens
            ? 'exact'
            : 'degraded';
      const cells = [
        new Date(atWallMs).toLocaleTimeString(),
        requestId.slice(0, 13),
        policy,
        count(isl),
        worker.workerId,
        count(predictedCachedTokens),
        count(actualCachedTokens),
        String(candidates.length),
      ];
      return row(cells, right);
    },
  );
  fill(
    'decisions',
    ['time', 'request', 'policy', 'prompt', 'worker', 'predicted cached', 'reported cached', 'candidates'],
    rows,
  );
}

function fill(id: string, head: readonly string[], rows: readonly HTMLElement[]): void {
  const header = node('tr', '', ...head.map((text) => node('th', '', text)));
  const empty = node('tr', '', Object.assign(node('td', 'note', 'nothing yet'), { colSpan: head.length }));
  element(id).replaceChildren(header, ...(rows.length > 0 ? rows : [empty]));
}

function row(cells: readonly string[], className: string): HTMLElement {
  return node('tr', className, ...cells.map((text) => node('td', '', text)));
}

function node(tag: string, className: string, ...children: readonly (string | Node)[]): HTMLElement {
  const made = Object.assign(document.createElement(tag), { className });
  made.append(...children);
  return made;
}

function percent(share: number | undefined): string {
  return share === undefined || !Number.isFinite(share) ? '–' : `${(100 * share).toFixed(1)} %`;
}

function milliseconds(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  return value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}

function seconds(value: number | undefined): string {
  return value === undefined || !Number.isFinite(value) ? '–' : `${value.toFixed(0)} s ago`;
}

function count(value: number | undefined): string {
  return value === undefined ? '–' : Math.round(value).toLocaleString();
}
