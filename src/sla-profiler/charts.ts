import { cloughTocher } from '../math/clough-tocher.ts';
import { evaluatePolynomial, polynomialFit } from '../math/polynomial-fit.ts';
import { triangulate } from '../math/triangulation.ts';
import { surfaceChart } from '../plot/surface.ts';
import type { Svg } from '../plot/svg.ts';
import { xyChart } from '../plot/xy-chart.ts';
import { type DecodeArrays, decodeArrays, prefillArrays } from './interpolation-files.ts';
import { prefillTokensPerSPerGpu } from './measurements.ts';
import type { MeasuredDecode, SlaProfile } from './result.ts';
import { type Candidate, paretoFront } from './selection.ts';

const SURFACE_CELLS = 60;
const FIT_STEPS = 100;
const GPU_LABEL = (gpus: number): string => `${gpus} GPU${gpus === 1 ? '' : 's'}`;

/** Every chart of a profile by its path in the output folder, without extension. */
export function profileCharts(profile: SlaProfile, gpuHourPrice: number): Record<string, Svg> {
  const decodeSurface = decodeItlSurface(profile);
  return {
    prefill_performance: prefillPerformance(profile),
    decode_performance: decodePerformance(profile),
    'selected_prefill_interpolation/prefill_ttft_interpolation': prefillTtft(profile),
    'selected_prefill_interpolation/prefill_throughput_interpolation': prefillThroughput(profile),
    'selected_decode_interpolation/decode_itl_interpolation': decodeSurface,
    [`selected_decode_interpolation/decode_${profile.decodeMapping.kind}${profile.decodeMapping.gpus}`]:
      decodeSurface,
    'selected_decode_interpolation/decode_throughput_interpolation': decodeThroughputSurface(profile),
    cost_sla: costChart(profile, gpuHourPrice),
  };
}

function prefillPerformance({ prefill, target, recommendation }: SlaProfile): Svg {
  const chosen = recommendation.prefill.chosen;
  return xyChart({
    title: 'Prefill Performance',
    x: { label: 'Time to First Token (ms)' },
    y: { label: 'Prefill throughput per GPU (tokens/s/GPU)' },
    series: [
      {
        name: 'prefill',
        draw: 'points',
        points: prefill.filter((candidate) => candidate !== chosen).map(scatterPoint),
      },
    ],
    rules: [{ axis: 'x', value: target.ttftMs, label: `Target TTFT: ${target.ttftMs} ms`, good: 'below' }],
    marks: [{ ...scatterPoint(chosen), label: `${GPU_LABEL(chosen.gpus)}, selected` }],
  });
}

function decodePerformance({ decode, target, recommendation }: SlaProfile): Svg {
  const widths = [...new Set(decode.map(({ gpus }) => gpus))];
  const lineOf = (gpus: number): MeasuredDecode[] => decode.filter((candidate) => candidate.gpus === gpus);
  const { chosen } = recommendation.decode;
  return xyChart({
    title: 'Decode Performance',
    x: { label: 'Inter Token Latency (ms)' },
    y: { label: 'Decode throughput per GPU (tokens/s/GPU)' },
    series: widths.map((gpus) => ({
      name: GPU_LABEL(gpus),
      draw: 'line+points',
      points: lineOf(gpus).map(({ latencyMs, tokensPerSPerGpu }) => ({ x: latencyMs, y: tokensPerSPerGpu })),
    })),
    rules: [{ axis: 'x', value: target.itlMs, label: `Target ITL: ${target.itlMs} ms`, good: 'below' }],
    marks: [
      {
        x: chosen.latencyMs,
        y: chosen.tokensPerSPerGpu,
        label: `${GPU_LABEL(chosen.gpus)}, ${chosen.concurrency} in flight, selected`,
      },
    ],
  });
}

function scatterPoint({ gpus, latencyMs, tokensPerSPerGpu }: Candidate): {
  x: number;
  y: number;
  label: string;
} {
  return { x: latencyMs, y: tokensPerSPerGpu, label: GPU_LABEL(gpus) };
}

function prefillTtft({ prefillCurve, target }: SlaProfile): Svg {
  const { prefill_isl: isl, prefill_ttft: ttft } = prefillArrays(prefillCurve);
  const fit = polynomialFit(isl, ttft, 2);
  const [a, b, c] = fit.map(exponent) as [string, string, string];
  const first = isl[0]!;
  const span = isl.at(-1)! - first;
  const curve = Array.from({ length: FIT_STEPS }, (_, i) => {
    const x = first + (span * i) / (FIT_STEPS - 1);
    return { x, y: evaluatePolynomial(fit, x) };
  });
  return xyChart({
    title: 'Prefill TTFT by input length',
    x: { label: 'Input Sequence Length (tokens)' },
    y: { label: 'Time to First Token (ms)' },
    series: [
      { name: 'Measured data', draw: 'points', points: isl.map((x, i) => ({ x, y: ttft[i]! })) },
      { name: `Quadratic fit: ${a}x² + ${b}x + ${c}`, draw: 'line', color: '#d92d20', points: curve },
    ],
    rules: [{ axis: 'y', value: target.ttftMs, label: `Target TTFT: ${target.ttftMs} ms`, good: 'below' }],
  });
}

function prefillThroughput({ prefillCurve }: SlaProfile): Svg {
  const points = prefillCurve.points.map((point) => ({
    x: point.islTokens,
    y: prefillTokensPerSPerGpu(point, prefillCurve.mapping.gpus),
  }));
  return xyChart({
    title: 'Prefill throughput by input length',
    x: { label: 'Input Sequence Length (tokens)' },
    y: { label: 'Prefill throughput per GPU (tokens/s/GPU)' },
    series: [{ name: 'Throughput/GPU', draw: 'points', points }],
  });
}

function decodeItlSurface(profile: SlaProfile): Svg {
  const arrays = decodeArrays(profile.decodeCurve);
  return decodeSurface('Decode ITL', 'ITL (ms)', 'coolWarm', arrays, arrays.z_itl);
}

function decodeThroughputSurface(profile: SlaProfile): Svg {
  const arrays = decodeArrays(profile.decodeCurve);
  return decodeSurface('Decode throughput', 'Throughput per GPU', 'viridis', arrays, arrays.z_thpt_per_gpu);
}

/** The measured points with the smooth surface through them, over the range of the data. */
function decodeSurface(
  title: string,
  zLabel: string,
  colors: 'coolWarm' | 'viridis',
  arrays: DecodeArrays,
  values: readonly number[],
): Svg {
  const { x_kv_usage: kv, y_context_length: context } = arrays;
  const x = steps(kv);
  const y = steps(context);
  const surface = triangulated(kv, context, values);
  return surfaceChart({
    title,
    xLabel: 'Active KV Percentage',
    yLabel: 'Decode Context Length',
    zLabel,
    colors,
    x,
    y,
    z: y.map((atY) => x.map((atX) => surface(atX, atY) ?? Number.NaN)),
    points: kv.map((atX, i) => ({ x: atX, y: context[i]!, z: values[i]! })),
  });
}

/** No surface runs through points on one line, such as a single context length. */
function triangulated(
  x: readonly number[],
  y: readonly number[],
  values: readonly number[],
): (atX: number, atY: number) => number | undefined {
  const mesh = triangulate(x, y);
  return mesh.triangles.length === 0 ? () => undefined : cloughTocher(mesh, values);
}

function steps(values: readonly number[]): number[] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return Array.from({ length: SURFACE_CELLS }, (_, i) => low + ((high - low) * i) / (SURFACE_CELLS - 1));
}

/** Cost of a thousand requests against speed per user: one line per prefill engine worth having. */
function costChart({ prefill, decode, target }: SlaProfile, gpuHourPrice: number): Svg {
  const series = paretoFront(prefill).map((engine) => ({
    name: `TTFT: ${engine.latencyMs.toFixed(2)}ms`,
    draw: 'line+points' as const,
    points: paretoFront(decode).map((point) => ({
      x: 1000 / point.latencyMs,
      y:
        (((target.islTokens * 1000) / engine.tokensPerSPerGpu +
          (target.oslTokens * 1000) / point.tokensPerSPerGpu) *
          gpuHourPrice) /
        3600,
    })),
  }));
  return xyChart({
    title: `Cost at ${gpuHourPrice} $/GPU-hour`,
    x: { label: 'Output speed per user (tokens/s)' },
    y: { label: 'Cost of 1000 requests ($)' },
    series,
  });
}

/** Python's `.2e`: at least two digits of exponent. */
function exponent(value: number): string {
  return value.toExponential(2).replace(/e([+-])(\d)$/, 'e$10$2');
}
