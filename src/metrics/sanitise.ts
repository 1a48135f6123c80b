import { fail } from '../base/errors.ts';

const COMPONENT_PREFIX = 'dynamo_component_';
const DEFAULT_FRONTEND_PREFIX = 'dynamo_frontend';

/** A valid metric name near the text: one `_` for each code point that names may not hold. */
export function sanitiseMetricName(text: string): string {
  const replaced = text.replace(/[^a-zA-Z0-9_:]/gu, '_');
  const name = /^[a-zA-Z_]/.test(replaced) ? replaced : `_${replaced}`;
  if (text === '' || /^_*$/.test(name)) throw unnameable('metric', text);
  return name;
}

/** The same for label names, and for the values of automatic labels; a reserved leading `__` is removed once. */
export function sanitiseLabel(text: string): string {
  const replaced = text.replace(/[^a-zA-Z0-9_]/gu, '_');
  let label = /^[a-zA-Z_]/.test(replaced) ? replaced : `_${replaced}`;
  if (text !== '' && label.startsWith('__')) {
    label = label.slice(2);
    if (!/^[a-zA-Z]/.test(label)) label = `_${label}`;
  }
  if (text === '' || /^_*$/.test(label)) throw unnameable('label', text);
  return label;
}

/** `requests_total` -> `dynamo_component_requests_total`. */
export function componentMetricName(name: string): string {
  return COMPONENT_PREFIX + sanitiseMetricName(name);
}

/** The prefix of the HTTP service's families as an operator set it, or the usual one if it cannot be used. */
export function frontendPrefix(text: string | undefined): string {
  if (text === undefined || /^[^a-zA-Z0-9:]*$/u.test(text)) return DEFAULT_FRONTEND_PREFIX;
  return sanitiseMetricName(text);
}

/** A family's name under another frontend prefix. */
export function withFrontendPrefix(name: string, prefix: string): string {
  return name.startsWith(`${DEFAULT_FRONTEND_PREFIX}_`)
    ? prefix + name.slice(DEFAULT_FRONTEND_PREFIX.length)
    : name;
}

function unnameable(kind: string, text: string) {
  const reason = `${JSON.stringify(text)} holds nothing that a ${kind} name may hold`;
  return fail('KV_METRIC_INVALID', { name: text, reason, mend: 'Use letters, digits and underscores.' });
}
