import { type Arguments, shellSplit } from '../formats/deployment/arguments.ts';
import type { BackendName } from '../formats/deployment/backend.ts';
import { backendOf } from '../formats/deployment/backends.ts';
import type { EngineOrder } from './target.ts';

/** How each backend is started from a shell, when no other command is given. */
export const LOCAL_COMMANDS: Readonly<Record<BackendName, string>> = {
  vllm: 'vllm serve {model} --port {port} {flags}',
  sglang: 'python3 -m sglang.launch_server --model-path {model} --port {port} {flags}',
  trtllm: 'trtllm-serve {model} --port {port} --tp_size {gpus}',
};

/**
 * A command line as words. `{port}`, `{model}`, `{gpus}`, `{kind}` and `{role}` are filled in wherever they stand; a word
 * that is `{flags}` becomes the backend's flags for width and prefix caching, one that is `{args}` all arguments of the
 * worker in the deployment.
 */
export function localCommand(
  template: string,
  { role, mapping, deployment }: EngineOrder,
  {
    backend: name,
    model,
    port,
  }: { readonly backend: BackendName; readonly model: string; readonly port: number },
): string[] {
  const backend = backendOf(name);
  const { gpus, kind } = mapping;
  const facts: Readonly<Record<string, string | number>> = { port, model, gpus, kind, role };
  const lists: Readonly<Record<string, () => Arguments>> = {
    '{flags}': () => backend.withMapping(backend.toAggregated([], role, kind !== 'tp'), mapping),
    '{args}': () => deployment.arguments(deployment.workerService('decode', backend.defaultServices.decode)),
  };
  return shellSplit(template).flatMap(
    (word) =>
      lists[word]?.() ?? [word.replace(/\{(\w+)\}/g, (whole, fact: string) => String(facts[fact] ?? whole))],
  );
}
