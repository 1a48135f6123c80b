import { readFileSync } from 'node:fs';

interface CatalogueFamily {
  readonly name: string;
  readonly type: string;
  readonly help?: string;
  readonly labels: readonly string[];
  readonly auto_labels?: readonly string[];
  readonly label_values?: Readonly<Record<string, readonly string[]>>;
  readonly buckets?: readonly number[];
  readonly bucket_list_1_0_2?: string;
  readonly since: string;
  readonly tier: string;
}

interface Case {
  readonly input: string;
  readonly output: string | null;
}

/** The golden catalogue of metric families and the values computed for it. */
interface MetricsCatalogue {
  readonly bucket_lists: Readonly<Record<string, { readonly bounds: readonly number[] }>>;
  readonly metrics: readonly CatalogueFamily[];
  readonly worker_scrape: readonly string[];
  readonly golden: {
    readonly sanitize_metric_name: readonly Case[];
    readonly sanitize_label: readonly Case[];
    readonly build_component_name: readonly Case[];
    readonly frontend_prefix: readonly Case[];
    readonly auto_labels: readonly {
      readonly path: readonly string[];
      readonly labels: Readonly<Record<string, string>>;
    }[];
    readonly round_two_significant: readonly { readonly input: number; readonly output: number }[];
    readonly log_buckets: readonly {
      readonly min: number;
      readonly max: number;
      readonly count: number;
      readonly output: readonly number[];
    }[];
    readonly log_buckets_length_only: readonly {
      readonly min: number;
      readonly max: number;
      readonly count: number;
      readonly length: number;
    }[];
    readonly linear_buckets: readonly {
      readonly start: number;
      readonly width: number;
      readonly count: number;
      readonly le: readonly string[];
    }[];
    readonly exponential_buckets: readonly {
      readonly start: number;
      readonly factor: number;
      readonly count: number;
      readonly output: readonly number[];
    }[];
    readonly routing_phases_1_0_2: readonly PhaseCase[];
    readonly routing_phases_2026_08: readonly PhaseCase[];
    readonly router_request: readonly (Readonly<Record<string, number | null>> & { readonly case: string })[];
    readonly frontend_stream: readonly {
      readonly case: string;
      readonly isl: number;
      readonly chunks: readonly number[];
      readonly ttft_count: number;
      readonly isl_count: number;
      readonly isl_sum: number;
      readonly itl_count: number;
      readonly output_tokens: number;
      readonly osl_observed: number | string;
    }[];
    readonly itl_buffer_2026_08: readonly {
      readonly after_chunk_tokens: readonly number[];
      readonly visible_itl_count: number;
      readonly visible_after_end?: number;
    }[];
    readonly kvstats: readonly Readonly<Record<string, number | string>>[];
    readonly number_text: readonly { readonly value: string; readonly text: string }[];
  };
}

interface PhaseCase {
  readonly input_ms: Readonly<Record<string, number | null>>;
  readonly output_ms: Readonly<Record<string, number>>;
}

export function metricsCatalogue(): MetricsCatalogue {
  const path = new URL('../golden/metrics/catalogue.json', import.meta.url);
  return JSON.parse(readFileSync(path, 'utf8')) as MetricsCatalogue;
}
