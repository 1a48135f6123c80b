import type { Backend, BackendName } from './backend.ts';
import { SGLANG } from './sglang.ts';
import { TRTLLM } from './trtllm.ts';
import { VLLM } from './vllm.ts';

const BACKENDS: Readonly<Record<BackendName, Backend>> = { vllm: VLLM, sglang: SGLANG, trtllm: TRTLLM };

export function backendOf(name: BackendName): Backend {
  return BACKENDS[name];
}
