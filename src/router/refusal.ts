import { fail } from '../base/errors.ts';
import type { Refusal } from '../kv/select.ts';

/** What a caller of a service is told when no rank was chosen. */
export function refusalError({ outcome, reason }: Refusal): Error {
  switch (outcome) {
    case 'no_workers':
      return fail('KV_SERVICE_NOT_READY', { reason, mend: 'Register a worker that may serve it.' });
    case 'queue_full':
      return fail('KV_SERVICE_NOT_READY', {
        reason,
        details: outcome,
        mend: 'Try again when the queue is shorter.',
      });
    case 'all_overloaded':
    case 'pinned_overloaded':
      return fail('KV_SERVICE_BUSY', { reason });
    case 'pin_not_allowed':
    case 'worker_required':
      return fail('KV_REQUEST_INVALID', {
        param: 'pinned_worker',
        reason: `pinned_worker: ${reason}`,
        mend: 'GET /workers lists the workers.',
      });
    case 'duplicate':
      return fail('KV_RECORD_CONFLICT', { reason, mend: 'Give every request an id of its own.' });
  }
}
