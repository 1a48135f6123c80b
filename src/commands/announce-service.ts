import type { CommandContext } from './command.ts';

/** Says that a service serves: one JSON line, or words for a person. */
export function announceService(role: string, url: string, { interactive, print }: CommandContext): void {
  print(interactive ? `${role} serves ${url}` : JSON.stringify({ event: 'ready', role, url }));
}
