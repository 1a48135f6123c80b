/** Rounds as numpy does: scale, round half to even, scale back. */
export function roundScaled(value: number, digits: number): number {
  if (!Number.isFinite(value)) return value;
  const scale = 10 ** digits;
  return roundHalfEven(value * scale) / scale;
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Rounds the exact decimal value of the double, ties to even, as Python's `round` does. */
export function roundExact(value: number, digits: number): number {
  if (!Number.isFinite(value) || Math.abs(value) >= 1e15) return value;
  const exact = value.toFixed(60);
  const cut = exact.indexOf('.') + 1 + digits;
  const tie = /^50*$/.test(exact.slice(cut));
  // `toFixed` takes the larger neighbour of a tie.
  const even = Number(exact[cut - 1]) % 2 === 0;
  return Number(tie && even ? exact.slice(0, cut) : value.toFixed(digits));
}

/** A float as Python prints it: always with a point or an exponent, the latter from 1e16 on and below 1e-4. */
export function pythonFloat(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  const [mantissa = '', exponentText = '0'] = value.toExponential().split('e');
  const exponent = Number(exponentText);
  if (value !== 0 && (exponent >= 16 || exponent < -4)) {
    const sign = exponent < 0 ? '-' : '+';
    return `${mantissa}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  if (Object.is(value, -0)) return '-0.0';
  if (Number.isInteger(value)) return `${value}.0`;
  // Below 1e-6 JavaScript would use an exponent, but those have left above.
  return `${value}`;
}
