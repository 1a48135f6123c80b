import { pythonFloat } from '../input/python-number.ts';

/** One field by RFC 4180: quoted only when it holds a comma, a quote or a line break. Null is empty. */
export function csvText(value: string | null): string {
  if (value === null) return '';
  return /[",\n\r]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

/** A float with at least one decimal; an undefined or NaN one is empty. */
export function csvFloat(value: number | undefined): string {
  return value === undefined || Number.isNaN(value) ? '' : pythonFloat(value);
}
