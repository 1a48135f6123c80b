/** One line of a panel. */
export interface Target {
  readonly legend: string;
  readonly expr: string;
  /** Why a healthy fleet of simulated engines has no such series. */
  readonly quiet?: string;
}

export interface Panel {
  readonly title: string;
  /** What the reader learns from it, and when to worry. */
  readonly help: string;
  readonly kind: 'stat' | 'timeseries';
  /** Grafana's name of it. */
  readonly unit: string;
  readonly targets: readonly Target[];
  /** Steps at which a stat changes its colour, ascending; the first colour holds from below. */
  readonly thresholds?: readonly (readonly [from: number | null, colour: string])[];
  readonly max?: number;
  readonly stacked?: boolean;
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly rows: readonly { readonly title: string; readonly panels: readonly Panel[] }[];
}

const COLUMNS = 24;
const HEIGHT = { stat: 4, timeseries: 8 } as const;
const MOST_IN_A_ROW = { stat: 6, timeseries: 3 } as const;
const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };
const SCHEMA_VERSION = 38;

/** Quantiles of a histogram, as targets. */
export function quantiles(family: string, matchers: string, qs: readonly number[], by = ''): Target[] {
  const labels = by === '' ? 'le' : `le, ${by}`;
  return qs.map((q) => ({
    legend: by === '' ? `p${q * 100}` : `p${q * 100} {{${by}}}`,
    expr: `histogram_quantile(${q}, sum by (${labels}) (rate(${family}_bucket${matchers}[$__rate_interval])))`,
  }));
}

/** The JSON that Grafana imports. */
export function dashboardJson({ uid, title, description, rows }: Dashboard): string {
  let y = 0;
  let id = 1;
  const panels: object[] = [];
  for (const row of rows) {
    panels.push({
      id: id++,
      type: 'row',
      title: row.title,
      collapsed: false,
      gridPos: { x: 0, y, w: COLUMNS, h: 1 },
      panels: [],
    });
    y += 1;
    for (const line of linesOf(row.panels)) {
      const w = Math.floor(COLUMNS / line.length);
      const h = HEIGHT[line[0]!.kind];
      for (const [i, panel] of line.entries())
        panels.push({ id: id++, gridPos: { x: i * w, y, w, h }, ...panelJson(panel) });
      y += h;
    }
  }
  const json = {
    uid,
    title,
    description,
    tags: ['kvasir', 'dynamo', 'llm'],
    editable: true,
    graphTooltip: 1,
    refresh: '5s',
    schemaVersion: SCHEMA_VERSION,
    time: { from: 'now-15m', to: 'now' },
    templating: { list: VARIABLES },
    panels,
  };
  return `${JSON.stringify(json, undefined, 2)}\n`;
}

/** Panels of one kind side by side, as many as stay readable. */
function linesOf(panels: readonly Panel[]): readonly Panel[][] {
  const lines: Panel[][] = [];
  for (const panel of panels) {
    const line = lines.at(-1);
    if (line !== undefined && line[0]?.kind === panel.kind && line.length < MOST_IN_A_ROW[panel.kind])
      line.push(panel);
    else lines.push([panel]);
  }
  return lines;
}

function panelJson({ title, help, kind, unit, targets, thresholds, max, stacked }: Panel): object {
  const steps = (thresholds ?? [[null, 'green']]).map(([value, color]) => ({ value, color }));
  const custom = { lineWidth: 1, fillOpacity: stacked ? 30 : 5, showPoints: 'never' };
  return {
    type: kind,
    title,
    description: help,
    datasource: DATASOURCE,
    fieldConfig: {
      defaults: {
        unit,
        min: 0,
        ...(max !== undefined && { max }),
        thresholds: { mode: 'absolute', steps },
        ...(kind === 'timeseries' && {
          custom: { ...custom, stacking: { mode: stacked ? 'normal' : 'none' } },
        }),
      },
      overrides: [],
    },
    options:
      kind === 'stat'
        ? { colorMode: 'value', graphMode: 'area', reduceOptions: { calcs: ['lastNotNull'] } }
        : { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } },
    targets: targets.map(({ expr, legend }, i) => ({
      refId: String.fromCharCode(65 + i),
      datasource: DATASOURCE,
      expr,
      legendFormat: legend,
    })),
  };
}

const VARIABLES = [
  {
    name: 'datasource',
    label: 'Prometheus',
    type: 'datasource',
    query: 'prometheus',
    current: {},
    hide: 0,
    refresh: 1,
  },
  {
    name: 'model',
    label: 'Model',
    type: 'query',
    datasource: DATASOURCE,
    query: 'label_values(dynamo_frontend_requests_started_total, model)',
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: '.*',
    current: { text: 'All', value: '$__all' },
  },
];
