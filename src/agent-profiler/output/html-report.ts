import type { TokenTiming } from '../analysis/token-timing.ts';
import type { Profile } from '../profiler.ts';
import { type FlameFrame, flame } from './flame.ts';
import { escapeXml, ganttNodes, ganttSvg } from './gantt-svg.ts';
import type { PrefixBranch } from './prefix-tree.ts';
import { REPORT_STYLE } from './report-style.ts';

type PrefixTrees = Readonly<Record<string, readonly PrefixBranch[]>>;

const WIDTH = 1080;
const MIN_FLAME_SHARE = 0.002;

/** report.html: one page without scripts or outside files. */
export function htmlReport(profile: Profile, prefixes: PrefixTrees, generatedAt: Date): string {
  const sections = [
    summary(profile),
    recommendations(profile),
    timing(profile),
    cache(profile),
    gantt(profile),
    flameView(profile),
    prefixView(prefixes),
    patterns(profile),
  ];
  return (
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
    `<title>Agent profile</title><style>${REPORT_STYLE}</style></head><body><main><h1>Agent profile</h1>` +
    `<p class="muted">${count(profile.requests)} requests, ${count(profile.events)} events. Written ${generatedAt.toISOString().slice(0, 19)}Z by kvasir profile agent.</p>` +
    `${profile.warnings.map((w) => `<p class="warning">${escapeXml(w)}</p>`).join('')}${sections.join('')}</main></body></html>\n`
  );
}

function section(title: string, body: string, note = ''): string {
  const noteText = note === '' ? '' : `<p class="muted">${note}</p>`;
  return body === '' ? '' : `<section><h2>${title}</h2>${noteText}${body}</section>`;
}

function summary({ base, extras, spikes }: Profile): string {
  const models = Object.values(extras?.timing.by_model ?? {});
  const prompt = models.reduce((sum, m) => sum + m.prompt_tokens, 0);
  const cached = models.reduce((sum, m) => sum + m.cached_tokens, 0);
  const tiles: readonly (readonly [string, string])[] = [
    ['mean run time', `${base.runTime.mean.toFixed(2)} s`],
    ['run time p95', `${base.runTime.p95.toFixed(2)} s`],
    ['LLM calls', count(base.llmLatency.n)],
    ['LLM latency p95', `${base.llmLatency.p95.toFixed(2)} s`],
    ['requests per second', base.throughput.mean.toFixed(3)],
    ['prompt tokens', count(prompt)],
    ['KV efficiency', prompt > 0 ? `${((cached / prompt) * 100).toFixed(1)} %` : '–'],
    ['calls at once, p90', String(spikes?.summary.p90_concurrency ?? '–')],
  ];
  return `<div class="tiles">${tiles.map(([name, value]) => `<div><b>${value}</b><span>${name}</span></div>`).join('')}</div>`;
}

function recommendations({ extras }: Profile): string {
  const rows = (extras?.recommendations ?? []).map(
    (r) =>
      `<li><b>${escapeXml(r.title)}</b> <span class="save">${[
        r.saved_seconds > 0 ? `saves up to ${duration(r.saved_seconds)}` : '',
        r.saved_tokens > 0 ? `${count(Math.round(r.saved_tokens))} tokens` : '',
      ]
        .filter((part) => part !== '')
        .join(', ')}</span><br>${escapeXml(r.advice)}</li>`,
  );
  const body = rows.length === 0 ? '<p>Nothing stands out.</p>' : `<ol>${rows.join('')}</ol>`;
  return section('What to do', body, 'Savings are summed over the profiled requests.');
}

function timing({ extras }: Profile): string {
  if (extras === undefined) return '';
  const row = (kind: string, name: string, t: TokenTiming): string => {
    const ms = (d: TokenTiming['ttft_ms'], p: 'p50' | 'p90'): string => (d.n === 0 ? '–' : d[p].toFixed(0));
    const kve = t.kv_efficiency === null ? '–' : `${(t.kv_efficiency * 100).toFixed(1)} %`;
    const cells = [
      count(t.calls),
      ms(t.ttft_ms, 'p50'),
      ms(t.ttft_ms, 'p90'),
      ms(t.itl_ms, 'p50'),
      ms(t.itl_ms, 'p90'),
      ms(t.latency_ms, 'p50'),
      ms(t.latency_ms, 'p90'),
      count(t.prompt_tokens),
      count(t.completion_tokens),
      kve,
    ];
    return `<tr><td>${kind}</td><td>${escapeXml(name || '(no name)')}</td>${cells.map((cell) => `<td class="n">${cell}</td>`).join('')}</tr>`;
  };
  const rows = [
    ...Object.entries(extras.timing.by_model).map(([name, t]) => row('model', name, t)),
    ...Object.entries(extras.timing.by_function).map(([name, t]) => row('function', name, t)),
  ];
  const heads = [
    '',
    'name',
    'calls',
    'TTFT p50',
    'p90',
    'ITL p50',
    'p90',
    'latency p50',
    'p90',
    'prompt',
    'completion',
    'KVE',
  ];
  if (rows.length === 0) return '';
  return section(
    'Models and functions',
    `<table><tr>${heads.map((h, i) => `<th${i > 1 ? ' class="n"' : ''}>${h}</th>`).join('')}</tr>${rows.join('')}</table>`,
    'Times in milliseconds. KVE: cached over prompt tokens. A dash: the traces do not tell.',
  );
}

function cache({ extras }: Profile): string {
  if (extras === undefined || extras.cache.prompt_tokens === 0) return '';
  const { savings, cached_tokens: cached, prompt_tokens: prompt, estimated_calls: estimated } = extras.cache;
  if (savings.at(-1)!.saved_tokens + cached === 0)
    return section(
      'If prefixes were cached',
      '<p>No prompt repeats the head of an earlier one for 64 bytes or more: a prefix cache would save nothing here.</p>',
    );
  const bar = (share: number): string =>
    `<div class="bar"><i style="width:${(share * 100).toFixed(1)}%"></i></div>`;
  const rows = savings.map(
    (s) =>
      `<tr><td class="n">${s.cache_tokens === undefined ? 'no limit' : count(s.cache_tokens)}</td><td class="n">${count(s.saved_tokens)}</td><td class="n">${(s.saved_share * 100).toFixed(1)} %</td><td>${bar(s.saved_share)}</td></tr>`,
  );
  const reported = `<tr><td class="n">reported by engines</td><td class="n">${count(cached)}</td><td class="n">${((cached / prompt) * 100).toFixed(1)} %</td><td>${bar(cached / prompt)}</td></tr>`;
  const note = `All prompts replayed through a prefix cache with least-recently-used eviction.${estimated > 0 ? ` Calls without token counts (${estimated}) were taken at 4 bytes a token.` : ''}`;
  return section(
    'If prefixes were cached',
    `<table><tr><th class="n">cache, tokens</th><th class="n">tokens saved</th><th class="n">share</th><th></th></tr>${rows.join('')}${reported}</table>`,
    note,
  );
}

function gantt({ nestedStack }: Profile): string {
  if (nestedStack === undefined || nestedStack.size === 0) return '';
  let slowest = { request: -1, seconds: -1 };
  for (let i = 0; i < nestedStack.size; i++) {
    const seconds = nestedStack.seconds(i);
    if (nestedStack.depth(i) === 0 && seconds > slowest.seconds)
      slowest = { request: nestedStack.request(i), seconds };
  }
  const nodes = ganttNodes(nestedStack, slowest.request);
  const height = 70 + Math.min(nodes.length * 22, 1200);
  return section(
    `Slowest request (number ${slowest.request})`,
    `<div class="chart">${ganttSvg(nodes, WIDTH, height)}</div>`,
    'Point at a bar for its times; pale bars never ended.',
  );
}

function flameView({ nestedStack }: Profile): string {
  if (nestedStack === undefined || nestedStack.size === 0) return '';
  const root = flame(nestedStack);
  const whole = root.seconds || 1;
  const boxes: string[] = [];
  const rowHeight = 24;
  let deepest = 0;
  const todo: { readonly at: FlameFrame; readonly x: number; readonly depth: number }[] = [
    { at: root, x: 0, depth: 0 },
  ];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const { at, x, depth } = next;
    deepest = Math.max(deepest, depth);
    const width = (at.seconds / whole) * WIDTH;
    boxes.push(flameBox(at, x, depth * rowHeight, width, rowHeight));
    let childX = x;
    for (const child of [...at.children.values()].sort((a, b) => b.seconds - a.seconds)) {
      if (child.seconds / whole >= MIN_FLAME_SHARE) todo.push({ at: child, x: childX, depth: depth + 1 });
      childX += (child.seconds / whole) * WIDTH;
    }
  }
  const height = (deepest + 1) * rowHeight;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="Inter, sans-serif">${boxes.join('')}</svg>`;
  return section(
    'Where the time goes',
    `<div class="chart">${svg}</div>`,
    'All requests together by stack of functions and calls; width is time with everything below, parallel calls counted each.',
  );
}

const FLAME_COLORS: Readonly<Record<string, string>> = {
  LLM: '#7ea2ea',
  TOOL: '#74c69d',
  FUNCTION: '#f2b872',
};

function flameBox(at: FlameFrame, x: number, y: number, width: number, height: number): string {
  const label = `${at.name} ${duration(at.seconds)}`;
  const fits = Math.floor((width - 8) / 6.6);
  const shown = fits < 3 ? '' : label.length <= fits ? label : `${label.slice(0, fits - 1)}…`;
  const title = `${at.type}:${at.name} – ${at.seconds.toFixed(3)} s in all, ${at.selfS.toFixed(3)} s of its own, ${at.calls} calls`;
  return `<g><rect x="${x.toFixed(2)}" y="${y}" width="${Math.max(0.5, width - 1).toFixed(2)}" height="${height - 1}" rx="2" fill="${FLAME_COLORS[at.type]}"><title>${escapeXml(title)}</title></rect><text x="${(x + 5).toFixed(2)}" y="${y + 16}" font-size="12" fill="#1c2430" pointer-events="none">${escapeXml(shown)}</text></g>`;
}

function prefixView(trees: PrefixTrees): string {
  const branch = (b: PrefixBranch, depth: number): string => {
    const line = `<span class="n">${count(b.calls)} calls, ${count(b.length)} characters, saves ${count(b.saved_tokens)} tokens</span> <code>${escapeXml(b.text)}</code>`;
    if (b.children.length === 0) return `<div class="leaf">${line}</div>`;
    return `<details${depth < 2 ? ' open' : ''}><summary>${line}</summary>${b.children.map((child) => branch(child, depth + 1)).join('')}</details>`;
  };
  const body = Object.entries(trees)
    .filter(([, branches]) => branches.length > 0)
    .map(
      ([model, branches]) =>
        `<h3>${escapeXml(model || '(no name)')}</h3>${branches.map((b) => branch(b, 0)).join('')}`,
    );
  return section(
    'Prompt prefixes',
    body.join(''),
    'How prompts that begin alike part. Each line is the text since the line above it.',
  );
}

function patterns({ patterns: found }: Profile): string {
  const rows = (found ?? []).map(
    (p) =>
      `<tr><td>${p.pattern.map((t) => `<code>${escapeXml(t.length > 60 ? `${t.slice(0, 60)}…` : t)}</code>`).join(' → ')}</td><td class="n">${count(p.frequency)}</td><td class="n">${(p.coverage * 100).toFixed(0)} %</td><td class="n">${p.average_duration.toFixed(2)} s</td></tr>`,
  );
  return section(
    'Frequent call sequences',
    rows.length === 0
      ? ''
      : `<table><tr><th>calls</th><th class="n">requests</th><th class="n">without gaps</th><th class="n">average</th></tr>${rows.join('')}</table>`,
  );
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}

/** Seconds as people say them: 12.3 s, 4.5 min, 6.1 h. */
function duration(seconds: number): string {
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
