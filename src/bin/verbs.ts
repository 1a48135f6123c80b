import { closest } from '../base/settings.ts';
import type { Command } from '../commands/command.ts';

interface Verb {
  readonly summary: string;
  load(): Promise<Command>;
}

/**
 * Every command, as help lists them: serve, measure, profile, examine. Each module is loaded only when it runs, so that
 * help is instant.
 */
export const VERBS: Readonly<Record<string, Verb>> = {
  up: {
    summary: 'start a frontend and simulated workers on this machine',
    load: async () => (await import('../commands/up.ts')).command,
  },
  frontend: {
    summary: 'serve the OpenAI API in front of a fleet of engines',
    load: async () => (await import('../commands/frontend.ts')).command,
  },
  worker: {
    summary: 'serve a simulated engine, or the metrics of a running one',
    load: async () => (await import('../commands/worker.ts')).command,
  },
  router: {
    summary: 'choose workers of a fleet over HTTP, and send them requests',
    load: async () => (await import('../commands/router.ts')).command,
  },
  indexer: {
    summary: 'serve an index of cached blocks over HTTP',
    load: async () => (await import('../commands/indexer.ts')).command,
  },
  selection: {
    summary: 'choose workers over HTTP for those who send requests themselves',
    load: async () => (await import('../commands/selection.ts')).command,
  },
  'slot-tracker': {
    summary: 'serve the load of workers over HTTP',
    load: async () => (await import('../commands/slot-tracker.ts')).command,
  },
  processor: {
    summary: 'stand before workers as one engine, placed by a Thompson router',
    load: async () => (await import('../commands/processor.ts')).command,
  },
  'thompson router': {
    summary: 'choose workers for a Thompson processor, and learn',
    load: async () => (await import('../commands/thompson-router.ts')).command,
  },
  bench: {
    summary: 'load an OpenAI-compatible server and measure it',
    load: async () => (await import('../commands/bench.ts')).command,
  },
  'bench report': {
    summary: 'value the raw records of bench runs again',
    load: async () => (await import('../commands/bench-report.ts')).command,
  },
  replay: {
    summary: 'replay a trace on simulated workers in virtual time, compare router modes',
    load: async () => (await import('../commands/replay.ts')).command,
  },
  'policy evaluate': {
    summary: 'judge routing policies by the logged decisions of another one',
    load: async () => (await import('../commands/policy-evaluate.ts')).command,
  },
  'trace analyze': {
    summary: 'tell what a workload trace holds',
    load: async () => (await import('../commands/trace-analyze.ts')).command,
  },
  'trace synthesize': {
    summary: 'make a trace like a given one',
    load: async () => (await import('../commands/trace-synthesize.ts')).command,
  },
  'trace agents': {
    summary: 'make a trace of agents with growing contexts',
    load: async () => (await import('../commands/trace-agents.ts')).command,
  },
  'profile sla': {
    summary: 'find the parallel mapping that meets TTFT and ITL targets',
    load: async () => (await import('../commands/profile-sla.ts')).command,
  },
  'profile download': {
    summary: 'copy the results of a profile from a volume claim on Kubernetes',
    load: async () => (await import('../commands/profile-download.ts')).command,
  },
  'profile inject': {
    summary: 'put a deployment file on a volume claim on Kubernetes',
    load: async () => (await import('../commands/profile-inject.ts')).command,
  },
  'profile agent': {
    summary: 'find what an agent workflow wastes, and turn it into routing hints',
    load: async () => (await import('../commands/profile-agent.ts')).command,
  },
  'sizing calc': {
    summary: 'find how many GPUs an agent workflow needs for a number of users',
    load: async () => (await import('../commands/sizing-calc.ts')).command,
  },
  collect: {
    summary: 'read cache efficiency and latencies of a run from Prometheus',
    load: async () => (await import('../commands/collect.ts')).command,
  },
  doctor: {
    summary: 'examine engines and say what to mend',
    load: async () => (await import('../commands/doctor.ts')).command,
  },
};

export function closestVerb(word: string): string | undefined {
  return closest(word, Object.keys(VERBS));
}
