import { TimeChart } from './chart.ts';
import { type Decision, showDecisions, showTiles, showWorkers } from './panels.ts';
import { quantileBetween, rateBetween, Scrape } from './scrape.ts';

const EVERY_MS = 1000;
/** Ten minutes of points. */
const KEEP = 600;
/** Quantiles and rates look back this far, so that they mean something at a few requests a second. */
const WINDOW = 10;

const TTFT = 'dynamo_frontend_time_to_first_token_seconds';
const ITL = 'dynamo_frontend_inter_token_latency_seconds';
const PROMPT = 'dynamo_frontend_input_sequence_tokens';
const CACHED = 'dynamo_frontend_cached_tokens';
const OVERHEAD = 'dynamo_router_overhead_total_ms';

const [blue, orange, green] = ['#2563eb', '#d97706', '#059669'];
const charts = document.querySelector<HTMLElement>('#charts')!;
const kve = new TimeChart(
  charts,
  'KV efficiency',
  [{ label: 'cached / prompt tokens', color: green }],
  '%',
  KEEP,
);
const percentiles = [
  { label: 'p50', color: blue },
  { label: 'p95', color: orange },
];
const ttft = new TimeChart(charts, 'Time to first token', percentiles, 'ms', KEEP);
const itl = new TimeChart(charts, 'Inter-token latency', percentiles, 'ms', KEEP);
const throughput = new TimeChart(charts, 'Output', [{ label: 'tokens/s', color: blue }], 'tokens/s', KEEP);
const requests = new TimeChart(
  charts,
  'Requests',
  [
    { label: 'finished/s', color: blue },
    { label: 'in flight', color: orange },
  ],
  '',
  KEEP,
);
const overhead = new TimeChart(
  charts,
  'Routing time',
  [
    { label: 'p50', color: blue },
    { label: 'p99', color: orange },
  ],
  'ms',
  KEEP,
);
const status = document.querySelector<HTMLElement>('#status')!;
const history: Scrape[] = [];

async function tick(): Promise<void> {
  const response = await fetch('/metrics', { headers: { accept: 'text/plain' } });
  if (!response.ok) throw new Error(`/metrics answered ${response.status}`);
  const now = new Scrape(await response.text(), Date.now());
  history.push(now);
  if (history.length > WINDOW + 1) history.shift();
  const before = history[0]!;
  const ms = (family: string, q: number): number | undefined =>
    scale(quantileBetween(before, now, family, q), 1000);
  // Prompt tokens are counted at the first token and cached ones at the end, so only their means compare.
  const mean = (family: string): number =>
    rateBetween(before, now, family, `${family}_sum`) / rateBetween(before, now, family, `${family}_count`);
  const share = finite(Math.min(1, mean(CACHED) / mean(PROMPT)));
  const tokensPerS = rateBetween(before, now, 'dynamo_frontend_output_tokens_total');
  const finishedPerS = rateBetween(before, now, 'dynamo_frontend_requests_total');
  const inFlight = now.sum('dynamo_frontend_inflight_requests');
  kve.add(now.atMs, [scale(share, 100)]);
  ttft.add(now.atMs, [ms(TTFT, 0.5), ms(TTFT, 0.95)]);
  itl.add(now.atMs, [ms(ITL, 0.5), ms(ITL, 0.95)]);
  throughput.add(now.atMs, [tokensPerS]);
  requests.add(now.atMs, [finishedPerS, inFlight]);
  overhead.add(now.atMs, [
    quantileBetween(before, now, OVERHEAD, 0.5),
    quantileBetween(before, now, OVERHEAD, 0.99),
  ]);
  showTiles(now, { kveNow: share, ttftMs: ms(TTFT, 0.95), itlMs: ms(ITL, 0.95), tokensPerS, inFlight });
  showWorkers(now);
  await showRecent();
  status.textContent = `live, ${new Date(now.atMs).toLocaleTimeString()}`;
  status.className = 'live';
}

/** Decisions are an extra: servers may keep them to themselves. */
async function showRecent(): Promise<void> {
  const response = await fetch('/debug/decisions?limit=12');
  const body = response.ok ? ((await response.json()) as { decisions: Decision[] }) : { decisions: [] };
  showDecisions(body.decisions.slice(0, 12));
}

function finite(value: number): number | undefined {
  return Number.isFinite(value) ? value : undefined;
}

function scale(value: number | undefined, by: number): number | undefined {
  return value === undefined ? undefined : value * by;
}

async function run(): Promise<void> {
  for (;;) {
    try {
      await tick();
    } catch (error) {
      status.textContent = `no answer: ${error instanceof Error ? error.message : String(error)}`;
      status.className = 'lost';
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

void run();
