import { Matrix, solve } from 'ml-matrix';

/** Least-squares coefficients of a polynomial, highest power first; x is scaled inside, so large x are safe. */
export function polynomialFit(x: readonly number[], y: readonly number[], degree: number): number[] {
  const scale = x.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
  const rows = x.map((value) =>
    Array.from({ length: degree + 1 }, (_, i) => (value / scale) ** (degree - i)),
  );
  const fitted = solve(new Matrix(rows), Matrix.columnVector(y as number[]), true).to1DArray();
  return fitted.map((coefficient, i) => coefficient / scale ** (degree - i));
}

/** Value of a polynomial given highest power first (Horner). */
export function evaluatePolynomial(coefficients: readonly number[], x: number): number {
  return coefficients.reduce((sum, coefficient) => sum * x + coefficient, 0);
}
