import type { V1EndpointConditions, V1EndpointSlice } from '@kubernetes/client-node';
import { toError } from '../../base/errors.ts';
import { type EngineSpec, parseEngineSpec } from '../engine-spec.ts';

/** Names of a service's ports. */
export interface PortNames {
  /** Of the OpenAI API; a number is taken as it is. */
  readonly api: string;
  readonly kvEvents: string;
  readonly replay: string;
}

/** An engine behind a ready endpoint. */
export interface EndpointEngine {
  readonly spec: EngineSpec;
  /** Of the pod, so that a new one with the address of an old one is noticed; the address where there is none. */
  readonly identity: string;
}

/** Labels of the service that say of its engines what they do not tell themselves: the rest of the name is a key. */
const LABEL_PREFIX = 'kvasir-';
const LABEL_KEYS = ['model', 'block-size', 'role', 'dp', 'kind'];

/**
 * The engines that slices name, by URL. Labels of a service are on its slices. An endpoint that is not ready or is
 * ending is left out; a pod with addresses of both families counts by its IPv4 one. `onProblem` hears what cannot be used.
 */
export function enginesOf(
  slices: Iterable<V1EndpointSlice>,
  ports: PortNames,
  onProblem: (slice: string, reason: string) => void,
): ReadonlyMap<string, EndpointEngine> {
  const engines = new Map<string, EndpointEngine>();
  const pods = new Set<string>();
  const sorted = [...slices].sort(byFamilyAndName);
  for (const slice of sorted) {
    const name = slice.metadata?.name ?? '';
    if (slice.addressType === 'FQDN') {
      onProblem(name, 'its addresses are host names');
      continue;
    }
    const api = portOf(slice, ports.api) ?? onlyPort(slice);
    if (api === undefined) {
      onProblem(name, `it has no port named ${ports.api}`);
      continue;
    }
    for (const { addresses, conditions, targetRef } of slice.endpoints ?? []) {
      const [address] = addresses;
      if (!takesRequests(conditions) || address === undefined) continue;
      const host = slice.addressType === 'IPv6' ? `[${address}]` : address;
      const identity = targetRef?.uid ?? address;
      if (engines.has(`http://${host}:${api}`) || pods.has(`${identity}:${api}`)) continue;
      try {
        const spec = parseEngineSpec(specText(slice, host, api, ports), `labels of ${name}`);
        engines.set(spec.url, { spec, identity });
        pods.add(`${identity}:${api}`);
      } catch (thrown) {
        onProblem(name, toError(thrown).message);
      }
    }
  }
  return engines;
}

/**
 * As the API says, an unknown state counts as ready. A service that publishes addresses that are not ready calls even a
 * pod ready that is ending.
 */
function takesRequests(conditions: V1EndpointConditions | undefined): boolean {
  return conditions?.ready !== false && conditions?.terminating !== true;
}

function specText(slice: V1EndpointSlice, host: string, api: number, ports: PortNames): string {
  const pieces = [`http://${host}:${api}`];
  const kvEvents = portOf(slice, ports.kvEvents);
  const replay = portOf(slice, ports.replay);
  if (kvEvents !== undefined) pieces.push(`kv-events=tcp://${host}:${kvEvents}`);
  if (replay !== undefined) pieces.push(`replay=tcp://${host}:${replay}`);
  for (const key of LABEL_KEYS) {
    const value = slice.metadata?.labels?.[`${LABEL_PREFIX}${key}`];
    if (value !== undefined) pieces.push(`${key}=${value}`);
  }
  return pieces.join(',');
}

function portOf({ ports }: V1EndpointSlice, name: string): number | undefined {
  if (/^\d+$/.test(name)) return Number(name);
  return ports?.find((port) => port.name === name)?.port;
}

function onlyPort({ ports }: V1EndpointSlice): number | undefined {
  return ports?.length === 1 ? ports[0]!.port : undefined;
}

function byFamilyAndName(a: V1EndpointSlice, b: V1EndpointSlice): number {
  if (a.addressType !== b.addressType) return a.addressType === 'IPv4' ? -1 : 1;
  return (a.metadata?.name ?? '') < (b.metadata?.name ?? '') ? -1 : 1;
}
