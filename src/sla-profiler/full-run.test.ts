import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse as parseYaml } from 'yaml';
import golden from '../../test/golden/sla/full_run_aic.json' with { type: 'json' };
import { SILENT_LOG } from '../base/log.ts';
import { resolveSettings } from '../base/settings.ts';
import { Deployment } from '../formats/deployment/deployment.ts';
import { toNumbers } from '../formats/npz/npy.ts';
import { decodeNpz } from '../formats/npz/npz.ts';
import { analyticItlMs, analyticMaxBatch, analyticTtftMs, DEFAULT_MODEL } from '../perf/analytic-model.ts';
import { loadPngRenderer } from '../transport/plot-assets.ts';
import { profileCharts } from './charts.ts';
import { gpuRange } from './gpu-inventory.ts';
import { type ChartRenderer, ProfileOutput } from './profile-output.ts';
import { recommendationLines } from './recommendation.ts';
import { runProfile } from './run.ts';
import { SLA_SETTINGS, type SlaSettings } from './settings.ts';
import type { EngineUnderTest, ProfileTarget } from './target.ts';

/** Answers with the stated formulas, as the reference's estimator did for the golden runs. */
function estimatorOf({ isl, osl }: SlaSettings): ProfileTarget {
  return {
    name: 'estimator',
    identity: DEFAULT_MODEL,
    takesLoad: false,
    start: ({ mapping: { gpus } }): Promise<EngineUnderTest> => {
      const itl = (concurrency: number, context: number): number =>
        analyticItlMs(DEFAULT_MODEL, gpus, concurrency, concurrency * context);
      return Promise.resolve({
        kvCapacity: () =>
          Promise.resolve({ tokens: analyticMaxBatch(DEFAULT_MODEL, gpus, isl, osl) * (isl + osl) }),
        prefill: ({ islTokens }) =>
          Promise.resolve({ ttftMs: [analyticTtftMs(DEFAULT_MODEL, gpus, islTokens)] }),
        decode: ({ islTokens, oslTokens, concurrency }) => {
          const itlMs = itl(concurrency, islTokens + oslTokens / 2);
          return Promise.resolve({ itlMs: [itlMs], tokensPerS: (concurrency * 1000) / itlMs });
        },
        stop: () => Promise.resolve(),
      });
    },
  };
}

interface GoldenRun {
  readonly args: Record<string, number | string>;
  readonly log: string[];
  readonly prefill_raw?: Record<string, { data: number[] }>;
  readonly decode_raw?: Record<string, { data: number[] }>;
  readonly config_with_planner_yaml?: string;
  readonly files: string[];
}

const camel = (key: string): string => key.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

/** Where the numbers are the subject: the names of pictures, without the seconds that painting takes. */
const UNPAINTED: ChartRenderer = { render: (svg) => Buffer.from(svg) };

async function runGolden(run: GoldenRun, renderer: ChartRenderer) {
  const outputDir = mkdtempSync(join(tmpdir(), 'kvasir-sla-'));
  const given = Object.fromEntries(Object.entries(run.args).map(([key, value]) => [camel(key), value]));
  const settings = resolveSettings(SLA_SETTINGS, { flags: { ...given, outputDir, refine: false }, env: {} });
  const output = await ProfileOutput.open(outputDir, () => {}, SILENT_LOG);
  const base = Deployment.parse(golden.input_yaml, 'disagg.yaml');
  const profile = await runProfile({
    settings,
    base,
    gpus: gpuRange(settings, undefined),
    target: estimatorOf(settings),
    output,
    renderer,
    signal: new AbortController().signal,
    observer: { onStart: () => {}, onPhase: () => {}, onPoint: () => {} },
  });
  await output.close();
  return { outputDir, profile };
}

/** Drops nulls, which the reference writes out and YAML readers take as absent. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, item]) => item !== null)
      .map(([key, item]) => [key, withoutNulls(item)]),
  );
}

describe('a whole run', () => {
  test('names every chart as SVG and PNG, and paints them', async () => {
    const { outputDir, profile } = await runGolden(
      Object.values(golden.runs)[0] as unknown as GoldenRun,
      UNPAINTED,
    );
    const charts = profileCharts(profile, 3);
    expect(Object.keys(charts).length).toBe(8);
    for (const [name, svg] of Object.entries(charts)) {
      expect(readFileSync(join(outputDir, `${name}.svg`), 'utf8')).toBe(svg);
      expect(readFileSync(join(outputDir, `${name}.png`), 'utf8')).toBe(svg);
    }
    const renderer = await loadPngRenderer();
    for (const name of ['decode_performance', 'selected_decode_interpolation/decode_itl_interpolation']) {
      const png = Buffer.from(renderer.render(charts[name]!, 0.5));
      expect(png.subarray(1, 4).toString()).toBe('PNG');
      expect(png.readUInt32BE(16)).toBe(500);
    }
  });

  test.each(Object.entries(golden.runs) as unknown as [string, GoldenRun][])(
    '%s gives the reference’s results',
    async (_, run) => {
      const { outputDir, profile } = await runGolden(run, UNPAINTED);
      const said = (lines: readonly string[]): string[] =>
        lines
          .map((line) => line.replace(/^INFO - /, ''))
          .filter((line) => /^(Suggested|No TP|Sweeping|Profiling)/.test(line));
      const log = readFileSync(join(outputDir, 'profile_sla.log'), 'utf8')
        .split('\n')
        .map((line) => line.split(' - INFO - ')[1] ?? '');
      const inGpuWording = [
        ...said(log).filter((line) => !/^(Suggested|No TP)/.test(line)),
        ...recommendationLines(profile.recommendation, { style: 'gpus' }),
      ];
      expect(new Set(inGpuWording)).toEqual(new Set(said(run.log)));

      for (const [folder, raw] of [
        ['selected_prefill_interpolation', run.prefill_raw],
        ['selected_decode_interpolation', run.decode_raw],
      ] as const) {
        if (raw === undefined) continue;
        const path = join(outputDir, folder, 'raw_data.npz');
        const arrays = decodeNpz(readFileSync(path), path);
        expect(Object.keys(arrays)).toEqual(Object.keys(raw));
        for (const [key, { data }] of Object.entries(raw)) {
          const values = toNumbers(arrays[key]!);
          expect(values.length).toBe(data.length);
          for (const [i, value] of values.entries())
            expect(Math.abs(value - data[i]!)).toBeLessThanOrEqual(1e-12 * Math.abs(data[i]!));
        }
      }
      if (run.config_with_planner_yaml !== undefined) {
        const written = readFileSync(join(outputDir, 'config_with_planner.yaml'), 'utf8').replaceAll(
          outputDir,
          'OUT',
        );
        expect(withoutNulls(parseYaml(written))).toEqual(
          withoutNulls(parseYaml(run.config_with_planner_yaml)),
        );
      }
      const files = readdirSync(outputDir, { recursive: true, encoding: 'utf8' });
      for (const file of run.files) expect(files).toContain(file.replace(/_(\d+)gpus\//, '_tp$1/'));
    },
  );
});
