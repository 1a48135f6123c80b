import type { ParallelMapping } from '../formats/deployment/backend.ts';
import { evaluatePolynomial, polynomialFit } from '../math/polynomial-fit.ts';
import type { Svg } from '../plot/svg.ts';
import { type XyPoint, xyChart } from '../plot/xy-chart.ts';
import { decodeItlSurface, decodeThroughputSurface } from './decode-surface.ts';
import { prefillArrays } from './interpolation-files.ts';
import { prefillTokensPerSPerGpu } from './measurements.ts';
import type { MeasuredDecode, SlaProfile } from './result.ts';
import { type Candidate, paretoFront } from './selection.ts';

const FIT_STEPS = 100;
const FIT_COLOR = '#d92d20';

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

function prefillPerformance({ prefill, target, recommendation, prefillMapping }: SlaProfile): Svg {
  const { chosen } = recommendation.prefill;
  return xyChart({
    title: 'Prefill Performance',
    x: { label: 'Time to First Token (ms)' },
    y: { label: 'Prefill throughput per GPU (tokens/s/GPU)' },
    series: [
      {
        name: 'prefill',
        draw: 'points',
        points: prefill.map(({ mapping, latencyMs: x, tokensPerSPerGpu: y, gpus }) =>
          // The mark names the chosen one.
          gpus === chosen.gpus ? { x, y } : { x, y, label: widthLabel(mapping) },
        ),
      },
    ],
    rules: [{ axis: 'x', value: target.ttftMs, label: `Target TTFT: ${target.ttftMs} ms`, good: 'below' }],
    marks: [{ ...placeOf(chosen), label: `${widthLabel(prefillMapping)}, selected` }],
  });
}

function decodePerformance({ decode, target, recommendation, decodeMapping }: SlaProfile): Svg {
  const widths = [...new Map(decode.map(({ mapping }) => [mapping.gpus, mapping])).values()];
  const lineOf = ({ gpus }: ParallelMapping): MeasuredDecode[] =>
    decode.filter((candidate) => candidate.gpus === gpus);
  const { chosen } = recommendation.decode;
  return xyChart({
    title: 'Decode Performance',
    x: { label: 'Inter Token Latency (ms)' },
    y: { label: 'Decode throughput per GPU (tokens/s/GPU)' },
    series: widths.map((mapping) => ({
      name: widthLabel(mapping),
      draw: 'line+points',
      points: lineOf(mapping).map(placeOf),
    })),
    rules: [{ axis: 'x', value: target.itlMs, label: `Target ITL: ${target.itlMs} ms`, good: 'below' }],
    marks: [
      {
        ...placeOf(chosen),
        label: `${widthLabel(decodeMapping)}, ${chosen.concurrency} in flight, selected`,
      },
    ],
  });
}

function placeOf({ latencyMs, tokensPerSPerGpu }: Candidate): XyPoint {
  return { x: latencyMs, y: tokensPerSPerGpu };
}

/** Of dense engines the number says all; others split their experts besides. */
function widthLabel({ kind, gpus }: ParallelMapping): string {
  const split = kind === 'tp' ? '' : ` [${kind.toUpperCase()}=${gpus}]`;
  return `${gpus} GPU${gpus === 1 ? '' : 's'}${split}`;
}

function prefillTtft({ prefillCurve, target, recommendation }: SlaProfile): Svg {
  const { prefill_isl: isl, prefill_ttft: ttft } = prefillArrays(prefillCurve);
  const fit = quadraticFit(isl, ttft);
  const { latencyMs } = recommendation.prefill.chosen;
  return xyChart({
    title: 'Prefill TTFT by input length',
    x: { label: 'Input Sequence Length (tokens)' },
    y: { label: 'Time to First Token (ms)' },
    series: [
      { name: 'Measured data', draw: 'points', points: isl.map((x, i) => ({ x, y: ttft[i]! })) },
      { name: `Quadratic fit: ${fit.text}`, draw: 'line', color: FIT_COLOR, points: fit.points },
    ],
    rules: [{ axis: 'y', value: target.ttftMs, label: `Target TTFT: ${target.ttftMs} ms`, good: 'below' }],
    marks: [{ x: target.islTokens, y: latencyMs, label: `ISL ${target.islTokens}, selected` }],
  });
}

function prefillThroughput({ prefillCurve, target, recommendation }: SlaProfile): Svg {
  const { gpus } = prefillCurve.mapping;
  const { prefill_isl: isl, prefill_ttft: ttft } = prefillArrays(prefillCurve);
  const points = prefillCurve.points.map((point) => ({
    x: point.islTokens,
    y: prefillTokensPerSPerGpu(point, gpus),
  }));
  const fitted = quadraticFit(isl, ttft).points.map(({ x, y }) => ({ x, y: (x * 1000) / y / gpus }));
  const { tokensPerSPerGpu } = recommendation.prefill.chosen;
  return xyChart({
    title: 'Prefill throughput by input length',
    x: { label: 'Input Sequence Length (tokens)' },
    y: { label: 'Prefill throughput per GPU (tokens/s/GPU)' },
    series: [
      { name: 'Throughput/GPU', draw: 'points', points },
      { name: 'From the quadratic fit of TTFT', draw: 'line', color: FIT_COLOR, points: fitted },
    ],
    marks: [{ x: target.islTokens, y: tokensPerSPerGpu, label: `ISL ${target.islTokens}, selected` }],
  });
}

/** Least squares of the second degree, as text and as points over the range of `x`. */
function quadraticFit(
  x: readonly number[],
  y: readonly number[],
): { readonly text: string; readonly points: readonly XyPoint[] } {
  const fit = polynomialFit(x, y, 2);
  const [a, b, c] = fit.map(exponent) as [string, string, string];
  const first = x[0]!;
  const span = x.at(-1)! - first;
  const points = Array.from({ length: FIT_STEPS }, (_, i) => {
    const at = first + (span * i) / (FIT_STEPS - 1);
    return { x: at, y: evaluatePolynomial(fit, at) };
  });
  return { text: `${a}x² + ${b}x + ${c}`, points };
}

/** Cost of a thousand requests against speed per user: one line per prefill engine worth having. */
function costChart({ prefill, decode, target, recommendation }: SlaProfile, gpuHourPrice: number): Svg {
  const point = (engine: Candidate, decoding: Candidate): XyPoint => ({
    x: 1000 / decoding.latencyMs,
    y:
      (((target.islTokens * 1000) / engine.tokensPerSPerGpu +
        (target.oslTokens * 1000) / decoding.tokensPerSPerGpu) *
        gpuHourPrice) /
      3600,
  });
  const chosen = point(recommendation.prefill.chosen, recommendation.decode.chosen);
  return xyChart({
    title: `Cost at ${gpuHourPrice} $/GPU-hour`,
    x: { label: 'Output speed per user (tokens/s)' },
    // A few requests in flight cost ten times what a full batch does; without a price there is nothing to take logs of.
    y: { label: 'Cost of 1000 requests ($)', log: gpuHourPrice > 0 },
    series: paretoFront(prefill).map((engine) => ({
      name: `TTFT: ${engine.latencyMs.toFixed(2)}ms`,
      draw: 'line+points',
      points: paretoFront(decode).map((decoding) => point(engine, decoding)),
    })),
    rules: [
      { axis: 'x', value: 1000 / target.itlMs, label: `Target ITL: ${target.itlMs} ms`, good: 'above' },
    ],
    marks: [{ ...chosen, label: 'selected' }],
  });
}

/** Python's `.2e`: at least two digits of exponent. */
function exponent(value: number): string {
  return value.toExponential(2).replace(/e([+-])(\d)$/, 'e$10$2');
}
