import type { EngineSettings } from './engine-settings.ts';
import type { Sequence } from './sequence.ts';

/** Whether even an empty vLLM or TensorRT-LLM engine could not run the request. */
export function cannotFit(settings: EngineSettings, sequence: Sequence): boolean {
  const { maxModelLen, numGpuBlocks, blockSize, backend, enableChunkedPrefill, maxNumBatchedTokens } =
    settings;
  if (maxModelLen !== undefined && sequence.promptLength >= maxModelLen) return true;
  if (!enableChunkedPrefill && sequence.promptLength > maxNumBatchedTokens) return true;
  if (backend === 'trtllm') return sequence.promptLength >= numGpuBlocks * blockSize;
  return Math.ceil(sequence.length / blockSize) > numGpuBlocks;
}

/** Leading blocks that may be reused: vLLM computes at least the last known token again, TensorRT-LLM does not. */
export function reusableBlocks({ backend, blockSize }: EngineSettings, sequence: Sequence): number {
  return Math.floor((backend === 'trtllm' ? sequence.length : sequence.length - 1) / blockSize);
}

/** Blocks that admission must be able to give: all known tokens, or all to completion where none is evicted. */
export function footprint({ backend, blockSize }: EngineSettings, sequence: Sequence): number {
  const tokens = backend === 'trtllm' ? sequence.promptLength + sequence.maxOutputTokens : sequence.length;
  return Math.ceil(tokens / blockSize);
}

/** Most tokens to generate; TensorRT-LLM cuts what the pool could never hold. */
export function outputLimit(
  { backend, numGpuBlocks, blockSize }: EngineSettings,
  request: Sequence['request'],
): number {
  const limit = request.plannedTokens?.length ?? request.maxOutputTokens;
  if (backend !== 'trtllm') return limit;
  return Math.min(limit, Math.max(0, numGpuBlocks * blockSize - request.prompt.length));
}
