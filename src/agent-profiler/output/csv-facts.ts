import { completionTokens } from '../analysis/llm-columns.ts';
import type { Trace } from '../input/event.ts';

/** What the reference's table knows of the whole file and a single pass does not. */
export interface CsvFacts {
  add(trace: Trace): void;
  readonly noLlmStarts: boolean;
  /** A UUID stands in several requests, so that completion tokens cross them. */
  readonly crossesRequests: boolean;
  /** Completion tokens by UUID over the file, in compat mode. */
  readonly oslByUuid: ReadonlyMap<string, number> | undefined;
}

/** Without `wholeFile` a call belongs to its request, and only the missing starts are noted. */
export function readCsvFacts(wholeFile: boolean): CsvFacts {
  const oslByUuid = new Map<string, number>();
  const startsWithoutEnd = new Set<string>();
  let starts = 0;
  let repeated = false;
  return {
    add({ events }) {
      const own = completionTokens(events);
      for (const { type, uuid } of events) {
        if (type !== 'LLM_START') continue;
        starts++;
        if (wholeFile && !own.has(uuid)) startsWithoutEnd.add(uuid);
      }
      if (!wholeFile) return;
      for (const [uuid, tokens] of own) {
        repeated ||= oslByUuid.has(uuid);
        oslByUuid.set(uuid, tokens);
      }
    },
    get noLlmStarts() {
      return wholeFile && starts === 0;
    },
    get crossesRequests() {
      if (repeated) return true;
      for (const uuid of startsWithoutEnd) if (oslByUuid.has(uuid)) return true;
      return false;
    },
    get oslByUuid() {
      return wholeFile ? oslByUuid : undefined;
    },
  };
}
