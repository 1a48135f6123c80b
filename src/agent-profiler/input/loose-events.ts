import type { TraceEvent } from './event.ts';

/** Runs that may be open at once; beyond them the oldest counts as complete. */
const MAX_OPEN = 1024;

interface Run {
  readonly events: TraceEvent[];
  /** Of the spans that started in it. */
  readonly uuids: string[];
}

/**
 * Parts events that come one by one into runs. A number that each event carries tells runs apart by its changes.
 * Else a run begins where a workflow starts at the root and is complete where that ends; events of runs side by side,
 * as a server writes them, find theirs by their own UUID or their parent's.
 */
export class LooseEvents {
  readonly #emit: (events: TraceEvent[]) => void;
  // By UUID: the run of each span that is known, and the open runs by that of their workflow, oldest first.
  readonly #runOf = new Map<string, Run>();
  readonly #open = new Map<string, Run>();
  /** Events before any workflow, or with a number of their own. */
  #plain: TraceEvent[] = [];
  #key: unknown;

  constructor(emit: (events: TraceEvent[]) => void) {
    this.#emit = emit;
  }

  add(event: TraceEvent, key: unknown): void {
    const beginsRun = key === undefined && event.type === 'WORKFLOW_START' && event.parentId === 'root';
    if (key !== this.#key || beginsRun) this.#flushPlain();
    this.#key = key;
    if (beginsRun) this.#begin(event.uuid);
    const run = key === undefined ? this.#runFor(event) : undefined;
    if (run === undefined) {
      this.#plain.push(event);
      return;
    }
    run.events.push(event);
    if (event.phase === 'start' && !this.#runOf.has(event.uuid)) {
      this.#runOf.set(event.uuid, run);
      run.uuids.push(event.uuid);
    }
    if (event.type === 'WORKFLOW_END' && this.#open.get(event.uuid) === run) this.#complete(event.uuid, run);
  }

  /** Nothing more comes: what is open is handed over as it is, in order of its start. */
  flush(): void {
    this.#flushPlain();
    for (const [uuid, run] of this.#open) this.#complete(uuid, run);
    this.#key = undefined;
  }

  #begin(uuid: string): void {
    const before = this.#open.get(uuid);
    if (before !== undefined) this.#complete(uuid, before);
    const [oldest] = this.#open;
    if (oldest !== undefined && this.#open.size === MAX_OPEN) this.#complete(...oldest);
    const run: Run = { events: [], uuids: [] };
    this.#open.set(uuid, run);
  }

  /** An event that names nothing known belongs to the latest run. */
  #runFor(event: TraceEvent): Run | undefined {
    const known =
      this.#open.get(event.uuid) ?? this.#runOf.get(event.uuid) ?? this.#runOf.get(event.parentId);
    return known ?? [...this.#open.values()].at(-1);
  }

  #complete(uuid: string, run: Run): void {
    this.#open.delete(uuid);
    for (const span of run.uuids) this.#runOf.delete(span);
    this.#emit(run.events);
  }

  #flushPlain(): void {
    if (this.#plain.length > 0) this.#emit(this.#plain);
    this.#plain = [];
  }
}
