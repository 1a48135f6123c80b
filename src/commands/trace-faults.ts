import { fail } from '../base/errors.ts';
import { choice } from '../base/settings.ts';
import type { CommandContext } from './command.ts';

export const ON_FAULT = choice({
  choices: ['skip', 'fail'],
  default: 'skip',
  help: 'what to do about events that cannot be read',
});

const MAX_REPORTED_FAULTS = 20;

/** Logs what is skipped, the first few one by one, or makes it fatal. */
export function faultLog(rule: 'skip' | 'fail', { log }: CommandContext) {
  let count = 0;
  return {
    get count() {
      return count;
    },
    report({
      path,
      line,
      reason,
    }: {
      readonly path: string;
      readonly line: number;
      readonly reason: string;
    }) {
      const place = `${path}:${line}`;
      if (rule === 'fail')
        throw fail('KV_FILE_MALFORMED', {
          path: place,
          reason,
          mend: 'Mend the line, or leave out --on-fault fail to skip it.',
        });
      if (++count <= MAX_REPORTED_FAULTS) log.warn({ place, reason }, 'skipped');
    },
    close() {
      if (count > MAX_REPORTED_FAULTS)
        log.warn({ faults: count }, 'more events were skipped than are listed');
    },
  };
}
