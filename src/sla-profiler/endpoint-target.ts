import { fail } from '../base/errors.ts';
import type { MappingKind } from '../formats/deployment/backend.ts';
import type { WorkerRole } from '../formats/deployment/deployment.ts';
import { EndpointEngine } from './endpoint-engine.ts';
import type { ProbeClient } from './probe-client.ts';
import type { EngineOrder, EngineUnderTest, ProfileTarget } from './target.ts';

/** A running endpoint and the mapping it stands for; for both roles unless it names one. */
export interface NamedEndpoint {
  readonly role: WorkerRole | undefined;
  readonly kind: MappingKind;
  readonly gpus: number;
  readonly url: string;
}

/** Reads `tp4=http://host:8000` and `prefill:tp4=http://host:8000`. */
export function parseNamedEndpoint(text: string): NamedEndpoint {
  const parts = /^(?:(prefill|decode):)?(tp|tep|dep)(\d+)=(https?:\/\/.+)$/.exec(text);
  if (parts === null) {
    throw fail('KV_SETTING_INVALID', {
      setting: '--endpoint',
      value: text,
      reason: 'is not MAPPING=URL',
      mend: 'Write tp4=http://host:8000 or prefill:tp4=http://host:8000.',
    });
  }
  return {
    role: parts[1] as WorkerRole | undefined,
    kind: parts[2] as MappingKind,
    gpus: Number(parts[3]),
    url: parts[4]!,
  };
}

/** Engines that run already, one for each mapping; nothing is started or stopped. */
export class EndpointTarget implements ProfileTarget {
  readonly name = 'endpoint';
  readonly identity: unknown;
  readonly takesLoad = true;
  readonly #endpoints: readonly NamedEndpoint[];
  readonly #client: ProbeClient;
  readonly #kvTokens: number | undefined;

  constructor(endpoints: readonly NamedEndpoint[], client: ProbeClient, kvTokens: number | undefined) {
    this.#endpoints = endpoints;
    this.#client = client;
    this.#kvTokens = kvTokens;
    this.identity = { endpoints, kvTokens };
  }

  async start({ role, mapping }: EngineOrder, signal: AbortSignal): Promise<EngineUnderTest> {
    const fits = (endpoint: NamedEndpoint): boolean =>
      endpoint.kind === mapping.kind && endpoint.gpus === mapping.gpus;
    const endpoint =
      this.#endpoints.find((one) => fits(one) && one.role === role) ??
      this.#endpoints.find((one) => fits(one) && one.role === undefined);
    if (endpoint === undefined)
      throw fail('KV_PROFILE_NO_ENDPOINT', { mapping: `${role} ${mapping.kind}${mapping.gpus}` });
    await this.#client.facts(endpoint.url);
    return new EndpointEngine({
      url: endpoint.url,
      role,
      client: this.#client,
      kvTokens: this.#kvTokens,
      signal,
      stop: () => Promise.resolve(),
    });
  }
}
