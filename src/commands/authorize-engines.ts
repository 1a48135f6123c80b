import { type EngineSpec, engineKey } from '../transport/engine-spec.ts';
import type { HttpClient } from '../transport/http-client.ts';

/** Gives the client the API keys that specs name. Throws `KV_SETTING_INVALID` for one that the environment lacks. */
export function authorizeEngines(client: HttpClient, specs: readonly EngineSpec[]): void {
  for (const spec of specs) {
    const key = engineKey(spec, process.env);
    if (key !== undefined) client.authorize(spec.url, key);
  }
}
