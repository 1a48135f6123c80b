import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { delimiter, dirname, resolve } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import { parse } from 'yaml';
import { fail } from '../../base/errors.ts';
import { failure } from './kubernetes-failure.ts';

type NewConfig = () => KubeConfig;
type Authenticator = Parameters<KubeConfig['addAuthenticator']>[0];

/**
 * A token in a file is replaced before it ends, so it is read for every call. The library reads such files only for pods,
 * and takes a line's end for a part of the token.
 */
const TOKEN_FILE: Authenticator = {
  isAuthProvider: ({ authProvider }) => tokenFileOf(authProvider) !== undefined,
  async applyAuthentication({ authProvider }, options) {
    const token = (await readFile(tokenFileOf(authProvider)!, 'utf8')).trim();
    options.headers = { ...options.headers, Authorization: `Bearer ${token}` };
  },
};

function tokenFileOf(authProvider: { readonly token?: { readonly file?: string } } | undefined) {
  return authProvider?.token?.file;
}

/** What the library calls the context that it makes up when it finds no configuration at all. */
const MADE_UP = 'loaded-context';

/**
 * How to reach the API, as kubectl finds it. `kubeconfig` is a file, or several parted as in PATH, of which the first to
 * name a thing wins and missing ones are passed over; undefined: ~/.kube/config, else the pod's service account.
 */
export function readKubernetesConfig(newConfig: NewConfig, kubeconfig: string | undefined): KubeConfig {
  const make = (): KubeConfig => {
    const config = newConfig();
    config.addAuthenticator(TOKEN_FILE);
    return config;
  };
  let config: KubeConfig;
  try {
    config = kubeconfig === undefined ? usualConfig(make) : mergedConfig(make, kubeconfig);
  } catch (thrown) {
    throw failure('reading the Kubernetes configuration', thrown, 'Check --kubeconfig.');
  }
  if (config.getCurrentContext() === MADE_UP)
    throw unusable('there is none: no ~/.kube/config, and this is no pod with a service account');
  if (config.getCurrentCluster() === null)
    throw unusable(
      `its current context ${JSON.stringify(config.getCurrentContext() ?? '')} names no cluster in it`,
    );
  return config;
}

function unusable(reason: string): Error {
  const mend = 'Give --kubeconfig FILE, or choose a context with kubectl config use-context.';
  return fail('KV_KUBERNETES', { action: 'reading the Kubernetes configuration', reason, mend });
}

function usualConfig(make: NewConfig): KubeConfig {
  const config = make();
  config.loadFromDefault();
  return config;
}

function mergedConfig(make: NewConfig, kubeconfig: string): KubeConfig {
  const named = kubeconfig.split(delimiter).filter((path) => path !== '');
  const there = named.filter((path) => existsSync(path));
  const [first, ...others] = (there.length === 0 ? named.slice(0, 1) : there).map((path) =>
    fileConfig(make, path),
  );
  const config = first ?? make();
  for (const other of others) {
    config.clusters = firstOfEach([...config.clusters, ...other.clusters]);
    config.users = firstOfEach([...config.users, ...other.users]);
    config.contexts = firstOfEach([...config.contexts, ...other.contexts]);
    const current = config.getCurrentContext() || other.getCurrentContext();
    if (current) config.setCurrentContext(current);
  }
  return config;
}

function firstOfEach<T extends { readonly name: string }>(things: readonly T[]): T[] {
  const byName = new Map<string, T>();
  for (const thing of things) if (!byName.has(thing.name)) byName.set(thing.name, thing);
  return [...byName.values()];
}

/** With what the library passes over: `tokenFile`, and a plugin that is named by its place beside the file. */
function fileConfig(make: NewConfig, path: string): KubeConfig {
  const config = make();
  config.loadFromFile(path);
  const beside = (file: string): string => resolve(dirname(path), file);
  const { users } = (parse(readFileSync(path, 'utf8')) ?? {}) as {
    readonly users?: readonly { readonly name?: string; readonly user?: { readonly tokenFile?: string } }[];
  };
  config.users = config.users.map((each) => {
    const { exec } = each as { readonly exec?: { readonly command?: string } };
    if (exec?.command?.includes('/')) return { ...each, exec: { ...exec, command: beside(exec.command) } };
    const file = users?.find(({ name }) => name === each.name)?.user?.tokenFile;
    if (file === undefined) return each;
    const { token: _, ...user } = each;
    return { ...user, authProvider: { token: { file: beside(file) } } };
  });
  return config;
}
