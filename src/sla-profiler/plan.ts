import { join } from 'node:path';
import {
  type BackendName,
  convertToRole,
  type MappingKind,
  type ParallelMapping,
  setMapping,
} from '../formats/deployment/backend.ts';
import { backendOf } from '../formats/deployment/backends.ts';
import type { Deployment, WorkerRole } from '../formats/deployment/deployment.ts';
import type { GpuRange } from './gpu-inventory.ts';
import type { SlaTarget } from './recommendation.ts';
import type { SlaSettings } from './settings.ts';
import { decodeIsls, denseGpuCounts, moeGpuCounts, prefillIsls } from './sweep-ranges.ts';
import type { EngineOrder } from './target.ts';

/** What a run is to measure. Made whole before anything is started, so that impossible ranges fail at once. */
export interface SlaPlan {
  readonly backend: BackendName;
  readonly base: Deployment;
  readonly target: SlaTarget;
  readonly outputDir: string;
  readonly gpuCounts: readonly number[];
  readonly gpusPerNode: number;
  readonly moe: boolean;
  /** Prompt lengths of the prefill curve, ascending. */
  readonly prefillIsls: readonly number[];
  /** Prompt lengths of the decode curve, ascending. */
  readonly decodeIsls: readonly number[];
  /** Requests in flight per length of the decode curve, and per width of the decode sweep. */
  readonly decodeGranularity: number;
  /** Look for the SLA boundary between the points of the grid. */
  readonly refine: boolean;
}

export function slaPlan(settings: SlaSettings, base: Deployment, gpus: GpuRange): SlaPlan {
  const { isMoeModel } = settings;
  const { min, max, perNode } = gpus;
  return {
    backend: settings.backend,
    base,
    target: { islTokens: settings.isl, oslTokens: settings.osl, ttftMs: settings.ttft, itlMs: settings.itl },
    outputDir: settings.outputDir,
    gpuCounts: isMoeModel ? moeGpuCounts(min, max, perNode) : denseGpuCounts(min, max),
    gpusPerNode: perNode,
    moe: isMoeModel,
    prefillIsls: prefillIsls(settings.maxContextLength, settings.prefillInterpolationGranularity),
    decodeIsls: decodeIsls(settings.maxContextLength, settings.decodeInterpolationGranularity),
    decodeGranularity: settings.decodeInterpolationGranularity,
    refine: settings.refine,
  };
}

/** The deployment of one role at one width, and where its files go. */
export function engineOrder(
  plan: SlaPlan,
  role: WorkerRole,
  mapping: ParallelMapping,
  folder: string,
): EngineOrder {
  const backend = backendOf(plan.backend);
  const deployment = convertToRole(plan.base, backend, role, plan.moe);
  setMapping(
    deployment,
    backend,
    deployment.workerService('decode', backend.defaultServices.decode),
    mapping,
    plan.gpusPerNode,
  );
  return { role, mapping, deployment, workDir: join(plan.outputDir, folder) };
}

export function mappingKind(role: WorkerRole, moe: boolean): MappingKind {
  if (!moe) return 'tp';
  return role === 'prefill' ? 'tep' : 'dep';
}

/** Attention data-parallel ranks of a mapping. */
export function attentionRanks({ kind, gpus }: ParallelMapping): number {
  return kind === 'dep' ? gpus : 1;
}
