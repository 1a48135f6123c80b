import { fail } from '../base/errors.ts';
import { closest } from '../base/settings.ts';
import { EVALUATORS, type EvaluatorChoice, type EvaluatorType } from './analysis/runtime-evaluation.ts';

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const known = (type: unknown): type is EvaluatorType => (EVALUATORS as readonly unknown[]).includes(type);

/**
 * The run-time evaluators that a run asks for: those named (`all` for every one), and those of `eval.evaluators` in
 * a toolkit configuration, under their names there. Its other evaluators need a judge and are left to the toolkit.
 */
export function chooseEvaluators(named: readonly string[], config: unknown): EvaluatorChoice {
  const section = isObject(config) && isObject(config.eval) ? config.eval.evaluators : undefined;
  const chosen: Record<string, EvaluatorType> = {};
  for (const [name, entry] of Object.entries(isObject(section) ? section : {})) {
    if (!isObject(entry) || !known(entry._type)) continue;
    if (/[/\\]/.test(name))
      throw refused(`eval.evaluators.${name}`, name, 'is not a file name', 'Name it without slashes.');
    chosen[name] = entry._type;
  }
  for (const name of named.includes('all') ? EVALUATORS : named) {
    if (!known(name)) {
      const near = closest(name, EVALUATORS);
      const mend =
        near === undefined ? `Choose from all, ${EVALUATORS.join(', ')}.` : `Did you mean ${near}?`;
      throw refused('--evaluators', name, 'is not a run-time evaluator', mend);
    }
    chosen[name] = name;
  }
  return chosen;
}

function refused(setting: string, value: string, reason: string, mend: string): Error {
  return fail('KV_SETTING_INVALID', { setting, value, reason, mend });
}
