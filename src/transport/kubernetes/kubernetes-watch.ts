import type { KubeConfig, Watch } from '@kubernetes/client-node';

/** A watch is answered at once, before there is anything to tell. */
const ANSWER_MS = 30_000;

export interface WatchRequest<T> {
  /** Of a collection, as `/apis/discovery.k8s.io/v1/namespaces/NS/endpointslices`. */
  readonly path: string;
  readonly query: Readonly<Record<string, string | number | boolean>>;
  readonly take: (type: string, object: T) => void;
  /** Called once, with what went wrong unless the watch just ended. */
  readonly done: (thrown?: unknown) => void;
}

/**
 * Follows changes until the server, or the function that is returned, ends it. The library's own watch gives no handle until
 * the server has answered, so one that never does is ended by its connection.
 */
export function startWatch<T>(
  Library: new (config: KubeConfig) => Watch,
  config: KubeConfig,
  { path, query, take, done }: WatchRequest<T>,
): () => void {
  let over = false;
  let close: (() => void) | undefined;
  const finish = (thrown?: unknown): void => {
    if (over) return;
    over = true;
    clearTimeout(unanswered);
    close?.();
    done(thrown ?? undefined);
  };
  const unanswered = setTimeout(
    () => finish(new Error(`no answer to a watch within ${ANSWER_MS / 1000} s`)),
    ANSWER_MS,
  );
  const own = Object.create(config) as KubeConfig;
  own.applyToFetchOptions = async (options) => {
    const init = await config.applyToFetchOptions(options);
    const { agent } = init;
    close = () => typeof agent === 'object' && agent.destroy();
    if (over) close();
    return init;
  };
  new Library(own)
    .watch(path, query, (type, object: T) => !over && take(type, object), finish)
    .then(() => clearTimeout(unanswered), finish);
  return () => finish();
}
