/** Shortest decimal that reads back the same, never with an exponent: `1e-7` is `0.0000001`. */
export function numberText(value: number): string {
  const size = value < 0 ? -value : value;
  if ((size >= 1e-6 && size < 1e21) || size === 0) return Object.is(value, -0) ? '-0' : `${value}`;
  if (Number.isNaN(value)) return 'NaN';
  if (size === Number.POSITIVE_INFINITY) return value > 0 ? 'inf' : '-inf';
  return withoutExponent(`${value}`);
}

/** A bucket bound in text format 0.0.4. */
export function boundText(bound: number): string {
  return bound === Number.POSITIVE_INFINITY ? '+Inf' : numberText(bound);
}

/** A number in OpenMetrics, which spells infinities its own way. */
export function openMetricsNumberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  if (value === Number.NEGATIVE_INFINITY) return '-Inf';
  return numberText(value);
}

/** A bucket bound in OpenMetrics' canonical form: always a float, an exponent from a million on and below 0.0001. */
export function openMetricsBoundText(bound: number): string {
  if (bound === Number.POSITIVE_INFINITY) return '+Inf';
  const size = Math.abs(bound);
  if (size !== 0 && (size >= 1e6 || size < 1e-4)) {
    const [mantissa = '', exponent = ''] = bound.toExponential().split('e');
    return `${mantissa}e${exponent[0]}${exponent.slice(1).padStart(2, '0')}`;
  }
  return Number.isInteger(bound) ? `${bound}.0` : `${bound}`;
}

function withoutExponent(text: string): string {
  const [mantissa = '', exponent] = text.split('e');
  if (exponent === undefined) return text;
  const sign = mantissa.startsWith('-') ? '-' : '';
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.');
  const shift = Number(exponent);
  if (shift < 0) return `${sign}0.${'0'.repeat(-shift - 1)}${whole}${fraction}`;
  return `${sign}${whole}${fraction.padEnd(shift, '0')}`;
}
