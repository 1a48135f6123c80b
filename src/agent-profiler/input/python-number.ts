/** A JSON number literal as Python prints the value it parses to: integers whole, floats with a point. */
export function pythonNumber(literal: string): string {
  if (/^-?\d+$/.test(literal)) return literal === '-0' ? '0' : literal;
  return pythonFloat(Number(literal));
}

/** A double as Python's `repr`: shortest digits that read back the same, at least one decimal. */
export function pythonFloat(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (Object.is(value, -0)) return '-0.0';
  if (value === 0) return '0.0';
  const magnitude = Math.abs(value);
  if (magnitude >= 1e16 || magnitude < 1e-4) {
    const [digits = '', exponent = '0'] = value.toExponential().split('e');
    const power = Number(exponent);
    return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
  }
  const text = String(value);
  return Number.isInteger(value) ? `${text}.0` : text;
}
