import { fail, KvasirError } from '../base/errors.ts';
import type { HttpClient, JsonAnswer } from './http-client.ts';

/** The part of Prometheus' HTTP API that Kvasir asks; paths are relative to the server's base URL. */
export interface PrometheusApi {
  /** Base URL without a trailing slash. */
  readonly url: string;
  /** Any status is an answer; rejects with `KV_PROMETHEUS_UNREACHABLE` when there is none. */
  get(path: string, parameters?: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<JsonAnswer>;
}

// A window of raw samples is asked for in pieces (collector/raw-series.ts); each is far below this.
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** Talks to a real Prometheus. `timeoutMs` bounds each exchange. */
export function prometheusApi(client: HttpClient, baseUrl: string, timeoutMs: number): PrometheusApi {
  const url = baseUrl.replace(/\/+$/, '');
  return {
    url,
    async get(path, parameters = {}, signal) {
      const search = new URLSearchParams(parameters).toString();
      try {
        return await client.json(`${url}/${path}${search === '' ? '' : `?${search}`}`, {
          timeoutMs,
          maxBytes: MAX_ANSWER_BYTES,
          ...(signal && { signal }),
        });
      } catch (cause) {
        if (!(cause instanceof KvasirError) || cause.code !== 'KV_ENGINE_UNREACHABLE') throw cause;
        throw fail('KV_PROMETHEUS_UNREACHABLE', { url, reason: String(cause.facts.reason) }, cause);
      }
    },
  };
}
