import type { BackendName, ParallelMapping } from '../formats/deployment/backend.ts';
import type { DecodePoint, MeasurementCounts, PrefillPoint } from './measurements.ts';
import type { Recommendation, SlaTarget } from './recommendation.ts';
import type { Candidate, DecodeCandidate } from './selection.ts';
import type { KvCapacity } from './target.ts';
import type { Validation } from './validation.ts';

/** A prefill engine of one width, measured at the target's ISL. */
export interface PrefillCandidate extends Candidate {
  readonly mapping: ParallelMapping;
  readonly point: PrefillPoint;
}

/** A decode engine of one width with some requests in flight. */
export interface MeasuredDecode extends DecodeCandidate {
  readonly mapping: ParallelMapping;
  readonly point: DecodePoint;
  readonly capacity: KvCapacity;
}

/** A width of which nothing could be measured, and why. */
export interface LostCandidate {
  readonly role: 'prefill' | 'decode';
  readonly mapping: ParallelMapping;
  readonly reason: string;
}

/** Dense measurements of the chosen prefill engine over prompt lengths. */
export interface PrefillCurve {
  readonly mapping: ParallelMapping;
  readonly points: readonly PrefillPoint[];
}

/** Dense measurements of the chosen decode engine over context lengths and requests in flight. */
export interface DecodeCurve {
  readonly mapping: ParallelMapping;
  readonly maxKvTokens: number;
  readonly points: readonly DecodePoint[];
}

/** Points that refining near the ITL target took, and those of a grid as fine; 0 where nothing was to refine. */
export interface Refinement {
  readonly extraPoints: number;
  readonly gridPoints: number;
}

export interface SlaProfile {
  readonly backend: BackendName;
  readonly target: SlaTarget;
  readonly prefill: readonly PrefillCandidate[];
  readonly decode: readonly MeasuredDecode[];
  readonly lost: readonly LostCandidate[];
  readonly recommendation: Recommendation;
  readonly prefillMapping: ParallelMapping;
  readonly decodeMapping: ParallelMapping;
  readonly prefillCurve: PrefillCurve;
  readonly decodeCurve: DecodeCurve;
  /** Undefined: not asked for. */
  readonly refinement: Refinement | undefined;
  readonly counts: MeasurementCounts;
  /** How the recommended pair does under load, where that can be told. */
  readonly validation?: Validation;
}

/** Both targets were met by what was chosen. */
export function slaMet({ recommendation }: SlaProfile): boolean {
  return recommendation.prefill.met && recommendation.decode.met;
}
