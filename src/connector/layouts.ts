import { HF3FS, MOONCAKE, NIXL, NIXL_NEWER } from '../metrics/names/connector.ts';
import { LMCACHE_COUNTS, LMCACHE_GAUGES, LMCACHE_SAMPLES } from '../metrics/names/lmcache.ts';
import type { CounterSpec, HistogramSpec } from '../metrics/spec.ts';
import type { Column } from './column.ts';
import type { Field, FieldLayout, FieldValues } from './field-stats.ts';
import { roundExact, roundScaled } from './number-text.ts';
import type { NumberKind, ReducedNumber, TransferTotals } from './stats.ts';

const BYTES_PER_MB = 2 ** 20;

/** One-sided reads by the decoding worker; leases that ran out are counted by the prefilling one. */
export const NIXL_LAYOUT: FieldLayout = {
  fields: [
    samples('transfer_duration', NIXL.xferTimeSeconds),
    samples('post_duration', NIXL.postTimeSeconds),
    samples('bytes_transferred', NIXL.bytesTransferred),
    samples('num_descriptors', NIXL.numDescriptors),
    events('num_failed_transfers', NIXL.numFailedTransfersTotal),
    events('num_failed_notifications', NIXL.numFailedNotificationsTotal),
    events('num_kv_expired_reqs', NIXL.numKvExpiredReqsTotal),
    { key: 'num_failed_handshakes', kind: 'events', since: '0.32' },
    { key: 'num_notifications_after_expiry', kind: 'events', since: '0.32' },
  ],
  rows: true,
  decisive: [
    'transfer_duration',
    'num_failed_transfers',
    'num_failed_notifications',
    'num_kv_expired_reqs',
    'num_failed_handshakes',
    'num_notifications_after_expiry',
  ],
  reduce: (values) => [
    int('Num successful transfers', values.column('transfer_duration').count),
    ...timing('xfer', values.column('transfer_duration')),
    ...timing('post', values.column('post_duration'), values.column('transfer_duration').count),
    ...volume(values, Number.POSITIVE_INFINITY),
    ...(isNewerNixl(values) ? newerNixlFailures(values) : []),
  ],
  record: (values, sink) => {
    if (!isNewerNixl(values)) return;
    sink
      .counter(NIXL.numFailedTransfersTotal)
      .inc(values.count('num_failed_handshakes') + values.count('num_failed_notifications'));
    sink
      .counter(NIXL_NEWER.numNotificationsAfterExpiryTotal)
      .inc(values.count('num_notifications_after_expiry'));
  },
  totals: (values) =>
    transferTotals(values, {
      transfer: values.count('num_failed_transfers'),
      notification: values.count('num_failed_notifications'),
      expired: values.count('num_kv_expired_reqs'),
      ...(isNewerNixl(values) && {
        handshake: values.count('num_failed_handshakes'),
        late: values.count('num_notifications_after_expiry'),
      }),
    }),
};

/** Since vLLM 0.32 failed handshakes and notifications count as failed transfers, and the line tells failures. */
function isNewerNixl(values: FieldValues): boolean {
  return values.has('num_failed_handshakes') || values.has('num_notifications_after_expiry');
}

function newerNixlFailures(values: FieldValues): ReducedNumber[] {
  const failed = ['num_failed_transfers', 'num_failed_handshakes', 'num_failed_notifications'];
  return [
    int(
      'Num failed transfers',
      failed.reduce((sum, key) => sum + values.count(key), 0),
    ),
    int('Num KV expired reqs', values.count('num_kv_expired_reqs')),
    int('Num notifs after expiry', values.count('num_notifications_after_expiry')),
  ];
}

/** Writes by the prefilling worker; the decoding one knows of failures only. */
export const MOONCAKE_LAYOUT: FieldLayout = {
  fields: [
    samples('transfer_duration', MOONCAKE.xferTimeSeconds),
    samples('bytes_transferred', MOONCAKE.bytesTransferred),
    samples('num_descriptors', MOONCAKE.numDescriptors),
    events('num_failed_transfers', MOONCAKE.numFailedTransfersTotal),
    events('num_failed_recvs', MOONCAKE.numFailedRecvsTotal),
    events('num_kv_expired_reqs', MOONCAKE.numKvExpiredReqsTotal),
  ],
  rows: true,
  reduce: (values) => [
    int('Num successful transfers', values.column('transfer_duration').count),
    ...timing('xfer', values.column('transfer_duration')),
    ...volume(values, 0),
    int('Num failed transfers', values.count('num_failed_transfers')),
    int('Num failed recvs', values.count('num_failed_recvs')),
    int('Num KV expired reqs', values.count('num_kv_expired_reqs')),
  ],
  totals: (values) =>
    transferTotals(values, {
      transfer: values.count('num_failed_transfers'),
      receive: values.count('num_failed_recvs'),
      expired: values.count('num_kv_expired_reqs'),
    }),
};

/** Sends between peers; vLLM's connector measures nothing itself, so the shape is that of the others. */
export const P2P_LAYOUT: FieldLayout = {
  fields: [
    samples('transfer_duration'),
    samples('bytes_transferred'),
    events('num_failed_transfers'),
    events('num_kv_expired_reqs'),
  ],
  rows: true,
  reduce: (values) => [
    int('Num successful transfers', values.column('transfer_duration').count),
    ...timing('xfer', values.column('transfer_duration')),
    ...volume(values, 0).slice(0, 2),
    int('Num failed transfers', values.count('num_failed_transfers')),
    int('Num KV expired reqs', values.count('num_kv_expired_reqs')),
  ],
  totals: (values) =>
    transferTotals(values, {
      transfer: values.count('num_failed_transfers'),
      expired: values.count('num_kv_expired_reqs'),
    }),
};

/** Saves to and loads from a distributed file system. */
export const HF3FS_LAYOUT: FieldLayout = {
  fields: [
    samples('save_duration', HF3FS.saveDurationSeconds),
    samples('load_duration', HF3FS.loadDurationSeconds),
    events('num_failed_save', HF3FS.numFailedSaveTotal),
    events('num_failed_load', HF3FS.numFailedLoadTotal),
    { key: 'num_transfer_task', kind: 'count' },
  ],
  rows: false,
  decisive: ['num_transfer_task'],
  reduce: (values) => {
    const side = (name: string, column: Column): ReducedNumber[] => [
      { key: `Avg ${name} duration (ms)`, value: roundScaled(column.mean * 1e3, 3), kind: of(column) },
      { key: `P90 ${name} duration (ms)`, value: roundScaled(column.p90 * 1e3, 3), kind: of(column) },
    ];
    const empty = values.count('num_transfer_task') === 0;
    const of = ({ count }: Column): NumberKind => (empty ? 'int' : count > 0 ? 'numpy' : 'float');
    return [
      int('Num transfers task', values.count('num_transfer_task')),
      int('Num save task success', values.column('save_duration').count),
      int('Num save task failed', values.count('num_failed_save')),
      int('Num load task success', values.column('load_duration').count),
      int('Num load task failed', values.count('num_failed_load')),
      ...side('save', values.column('save_duration')),
      ...side('load', values.column('load_duration')),
    ];
  },
  totals: (values) => ({
    transfers: values.column('save_duration').count + values.column('load_duration').count,
    sizeBytes: 0,
    busyS: values.column('save_duration').sum + values.column('load_duration').sum,
    failures: { save: values.count('num_failed_save'), load: values.count('num_failed_load') },
  }),
};

/** A shared cache tier; keys are the names of LMCache's own metrics. */
export const LMCACHE_LAYOUT: FieldLayout = {
  fields: [
    ...Object.entries(LMCACHE_COUNTS).map(([key, metric]): Field => ({ key, kind: 'count', metric })),
    ...Object.entries(LMCACHE_GAUGES).map(([key, metric]): Field => ({ key, kind: 'gauge', metric })),
    ...Object.entries(LMCACHE_SAMPLES).map(([key, metric]): Field => ({ key, kind: 'samples', metric })),
  ],
  rows: false,
  reduce: (values) => [
    ...Object.keys(LMCACHE_COUNTS)
      .filter((key) => values.has(key))
      .map((key) => int(key, values.count(key))),
    ...Object.keys(LMCACHE_GAUGES)
      .filter((key) => values.has(key))
      .map((key): ReducedNumber => ({ key, value: values.count(key), kind: 'float' })),
    ...Object.keys(LMCACHE_SAMPLES).flatMap((key) => columnSummary(key, values.column(key))),
  ],
  totals: (values) => ({
    transfers: values.column('time_to_retrieve').count + values.column('time_to_store').count,
    sizeBytes: values.count('num_remote_read_bytes') + values.count('num_remote_write_bytes'),
    busyS: values.column('time_to_retrieve').sum + values.column('time_to_store').sum,
    failures: {},
  }),
};

/** Count, mean and 90th percentile of a list that has no line of its own in vLLM; nothing of an empty one. */
export function columnSummary(key: string, column: Column): ReducedNumber[] {
  if (column.count === 0) return [];
  return [
    int(`${key}_count`, column.count),
    { key: `${key}_avg`, value: roundScaled(column.mean, 6), kind: 'numpy' },
    { key: `${key}_p90`, value: roundExact(column.p90, 6), kind: 'float' },
  ];
}

function timing(name: string, column: Column, transfers = column.count): ReducedNumber[] {
  const [avg, p90] = [`Avg ${name} time (ms)`, `P90 ${name} time (ms)`];
  if (transfers === 0) return [int(avg, 0), int(p90, 0)];
  return [
    { key: avg, value: roundScaled(column.mean * 1e3, 3), kind: 'numpy' },
    { key: p90, value: roundExact(column.p90 * 1e3, 3), kind: 'float' },
  ];
}

/** `withoutTime` is the throughput of transfers that took no time at all. */
function volume(values: FieldValues, withoutTime: number): ReducedNumber[] {
  const keys = ['Avg MB per transfer', 'Throughput (MB/s)', 'Avg number of descriptors'] as const;
  const times = values.column('transfer_duration');
  if (times.count === 0) return keys.map((key) => int(key, 0));
  const sizeMb = values.column('bytes_transferred').sum / BYTES_PER_MB;
  const perSecond = times.sum > 0 ? roundScaled(sizeMb / times.sum, 3) : withoutTime;
  const kind = times.sum > 0 || withoutTime > 0 ? 'numpy' : 'float';
  return [
    { key: keys[0], value: roundScaled(sizeMb / times.count, 3), kind: 'numpy' },
    {
      key: keys[1],
      value: sizeMb === 0 && times.sum === 0 && withoutTime > 0 ? Number.NaN : perSecond,
      kind,
    },
    { key: keys[2], value: roundScaled(values.column('num_descriptors').mean, 1), kind: 'numpy' },
  ];
}

function transferTotals(values: FieldValues, failures: Readonly<Record<string, number>>): TransferTotals {
  const times = values.column('transfer_duration');
  return {
    transfers: times.count,
    sizeBytes: values.column('bytes_transferred').sum,
    busyS: times.sum,
    failures,
  };
}

function samples(key: string, metric?: HistogramSpec): Field {
  return metric === undefined ? { key, kind: 'samples' } : { key, kind: 'samples', metric };
}

function events(key: string, metric?: CounterSpec): Field {
  return metric === undefined ? { key, kind: 'events' } : { key, kind: 'events', metric };
}

function int(key: string, value: number): ReducedNumber {
  return { key, value, kind: 'int' };
}
