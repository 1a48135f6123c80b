import { SeededRandom } from '../base/random.ts';
import type { Workload, WorkloadSession } from './workload.ts';

/**
 * The same requests at other instants, for intervals over seeds: every session starts at a uniformly random point
 * between its time stamp and the next one in the trace. Counts between stamps stay, so arrivals become a Poisson
 * process with the trace's own rate profile, and requests that a coarse stamp lumped together are spread; what is
 * sent, in what mix and at what rate, does not change. Order, ties and so all placement decisions do.
 */
export function retimed(workload: Workload, seed: number): Workload {
  const random = new SeededRandom(seed);
  const stamps = [...new Set(workload.sessions.map(({ arrivalMs }) => arrivalMs))].sort((a, b) => a - b);
  const next = new Map(stamps.map((stamp, i) => [stamp, stamps[i + 1] ?? stamp + meanGap(stamps)]));
  const moved = workload.sessions.map((session) => {
    const { arrivalMs } = session;
    return atTime(session, arrivalMs + random.next() * (next.get(arrivalMs)! - arrivalMs));
  });
  moved.sort((a, b) => a.arrivalMs - b.arrivalMs);
  const first = moved[0]?.arrivalMs ?? 0;
  const sessions = moved.map((session) => atTime(session, session.arrivalMs - first));
  const requests = [...workload.requests];
  for (const session of sessions) for (const turn of session.turns) requests[turn.index] = turn;
  return { traceBlockSize: workload.traceBlockSize, sessions, requests };
}

function atTime({ id, turns }: WorkloadSession, arrivalMs: number): WorkloadSession {
  const own: WorkloadSession['turns'][number][] = [];
  const session: WorkloadSession = { id, arrivalMs, turns: own };
  for (const turn of turns) own.push({ ...turn, session });
  return session;
}

function meanGap(stamps: readonly number[]): number {
  return stamps.length < 2 ? 0 : (stamps.at(-1)! - stamps[0]!) / (stamps.length - 1);
}
