import type { Trajectory } from './atif.ts';
import { trajectoryEvents } from './atif-events.ts';
import type { TraceEvent } from './event.ts';
import { readEvent } from './event-reader.ts';
import { JsonScanner, type ScanHandler } from './json-scanner.ts';
import { LooseEvents } from './loose-events.ts';

/** Something in the input that could not be used; the reader goes on after it. */
export interface TraceFault {
  readonly line: number;
  readonly reason: string;
}

/** A request as it was read. */
export interface ReadRequest {
  readonly events: TraceEvent[];
  /** What the item calls itself, where it does. */
  readonly id: string | number | undefined;
  /** The trajectory it came from, if it did. */
  readonly trajectory: Trajectory | undefined;
}

type Json = Readonly<Record<string, unknown>>;

/**
 * Bytes of one file in, traces out: every shape of the toolkit's files, told apart by their structure. Holds
 * the events of one request at a time. Feed it with {@link push}, then {@link end}; take with {@link take}.
 */
export class TraceReader implements ScanHandler {
  readonly #onFault: (fault: TraceFault) => void;
  readonly #scanner: JsonScanner;
  #ready: ReadRequest[] = [];
  #list: TraceEvent[] | undefined;
  // Steps of an object whose end has not come yet, events of a top-level list, and events of JSON lines.
  #steps: TraceEvent[] | undefined;
  #topList: TraceEvent[] = [];
  readonly #loose = new LooseEvents((events) => this.#emit(events));
  #insideObject = false;

  constructor(onFault: (fault: TraceFault) => void) {
    this.#onFault = onFault;
    this.#scanner = new JsonScanner(this);
  }

  push(chunk: Uint8Array): void {
    this.#scanner.push(chunk);
  }

  end(): void {
    this.#scanner.end();
    this.#flushLoose();
  }

  /** The requests completed since the last call. */
  take(): readonly ReadRequest[] {
    const taken = this.#ready;
    this.#ready = [];
    return taken;
  }

  /** One line of JSON Lines: an event, a request, a list of events, or a trajectory. */
  line(text: string, line: number): void {
    const value = this.#parse(text, line);
    if (value === undefined) return;
    if (Array.isArray(value)) {
      this.#flushLoose();
      const events = value.flatMap((item) => this.#event(item, line, undefined) ?? []);
      this.#emit(events);
    } else this.#item(value as Json, line, text);
  }

  openList(insideObject: boolean): void {
    this.#list = [];
    this.#insideObject = insideObject;
  }

  element(text: string, line: number): void {
    const value = this.#parse(text, line);
    if (value === undefined) return;
    const event = this.#event(value, line, text);
    if (event !== undefined) (this.#list ?? this.#topList).push(event);
  }

  closeList(): void {
    const events = this.#list ?? [];
    this.#list = undefined;
    if (this.#insideObject) this.#steps = events;
    else this.#emit(events);
  }

  object(members: ReadonlyMap<string, string>, line: number): void {
    this.#insideObject = false;
    if (members.has('intermediate_steps')) {
      const steps = this.#steps ?? this.#stepsOf(members.get('intermediate_steps')!, line);
      this.#steps = undefined;
      this.#flushLoose();
      this.#emit(steps, idOf({ id: this.#member(members.get('id')) }));
      return;
    }
    const text = `{${[...members].map(([key, value]) => `${JSON.stringify(key)}:${value}`).join(',')}}`;
    const value = this.#parse(text, line);
    if (value !== undefined) this.#item(value as Json, line, text);
  }

  closeTop(): void {
    this.#flushLoose();
  }

  fault(line: number, reason: string): void {
    this.#onFault({ line, reason });
  }

  #stepsOf(text: string, line: number): TraceEvent[] {
    const value = this.#parse(text, line);
    if (value === null || value === undefined) return [];
    if (!Array.isArray(value)) {
      this.#onFault({ line, reason: 'intermediate_steps is not a list' });
      return [];
    }
    return value.flatMap((item) => this.#event(item, line, undefined) ?? []);
  }

  #item(value: Json, line: number, text: string): void {
    if (typeof value !== 'object' || value === null) {
      this.#onFault({ line, reason: 'is neither an event nor a request' });
    } else if (Array.isArray(value.intermediate_steps)) {
      this.#flushLoose();
      const steps = value.intermediate_steps.flatMap((item) => this.#event(item, line, undefined) ?? []);
      this.#emit(steps, idOf(value));
    } else if (value.intermediate_steps === null) this.#emit([], idOf(value));
    else if ('trajectory' in value || 'steps' in value) this.#trajectory(value, line);
    else {
      const event = this.#event(value, line, text);
      if (event !== undefined) this.#loose.add(event, value.request_number ?? value.example_number);
    }
  }

  #flushLoose(): void {
    this.#loose.flush();
    if (this.#topList.length > 0) this.#emit(this.#topList);
    this.#topList = [];
  }

  #trajectory(value: Json, line: number): void {
    this.#flushLoose();
    const trajectory = ('steps' in value ? value : value.trajectory) as Trajectory | null;
    if (trajectory === null) {
      this.#emit([], idOf(value));
      return;
    }
    if (!Array.isArray(trajectory?.steps)) {
      this.#onFault({ line, reason: 'a trajectory without steps' });
      return;
    }
    const events = trajectoryEvents(trajectory, (reason) => this.#onFault({ line, reason }));
    this.#emit(events, idOf(value), trajectory);
  }

  #emit(events: TraceEvent[], id?: string | number, trajectory?: Trajectory): void {
    this.#ready.push({ events, id, trajectory });
  }

  #member(text: string | undefined): unknown {
    try {
      return text === undefined ? undefined : JSON.parse(text);
    } catch {
      return undefined;
    }
  }

  #event(value: unknown, line: number, source: string | undefined): TraceEvent | undefined {
    const read = readEvent(value, source);
    if (read.event !== undefined) return read.event;
    this.#onFault({ line, reason: `this event ${read.fault}` });
    return undefined;
  }

  #parse(text: string, line: number): unknown {
    try {
      return JSON.parse(text);
    } catch (cause) {
      try {
        // Python writes these three, which are not JSON.
        return JSON.parse(
          text.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/gs, (t) => (t[0] === '"' ? t : 'null')),
        );
      } catch {
        this.#onFault({ line, reason: (cause as Error).message });
        return undefined;
      }
    }
  }
}

function idOf({ id, item_id: itemId }: Json): string | number | undefined {
  const given = itemId ?? id;
  return typeof given === 'string' || typeof given === 'number' ? given : undefined;
}
