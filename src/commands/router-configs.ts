import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { fail, toError } from '../base/errors.ts';
import type { Hop } from '../frontend/worker-pool.ts';
import type { RouterConfig } from '../kv/config.ts';
import { readRouterConfig } from '../kv/read-config.ts';
import type { RouterSettings } from '../kv/settings.ts';

/** The routers' configurations as the settings say, by model and hop; throws at once for settings that contradict. */
export function routerConfigs(settings: RouterSettings): (model: string, hop: Hop) => RouterConfig {
  const policyDocument = readPolicies(settings.routerPolicyConfig);
  readRouterConfig(settings, { policyDocument });
  return (model, hop) => forHop(readRouterConfig(settings, { policyDocument, model }), hop);
}

/** A prompt is on a prefill worker only until it is handed over: it books no blocks there. */
export function forHop(config: RouterConfig, hop: Hop): RouterConfig {
  return hop === 'prefill' ? { ...config, trackActiveBlocks: false, trackOutputBlocks: false } : config;
}

function readPolicies(path: string | undefined): unknown {
  if (path === undefined) return undefined;
  try {
    return parseYaml(readFileSync(path, 'utf8'));
  } catch (cause) {
    const reason = `cannot be read as YAML: ${toError(cause).message}`;
    const mend = 'Give a file with policy_classes.';
    throw fail('KV_SETTING_INVALID', { setting: '--router-policy-config', value: path, reason, mend }, cause);
  }
}
