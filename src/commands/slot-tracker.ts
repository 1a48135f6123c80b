import { once } from 'node:events';
import { RealClock } from '../base/clock.ts';
import { makeServiceServer } from '../router/service-server.ts';
import { SLOT_TRACKER_SETTINGS } from '../router/settings.ts';
import { addSlotRoutes } from '../router/slots/slot-routes.ts';
import { SlotTracker } from '../router/slots/slot-tracker.ts';
import { announceService } from './announce-service.ts';
import { defineCommand } from './command.ts';

const MAX_BODY_BYTES = 64 * 1024 * 1024;

export const command = defineCommand({
  name: 'slot-tracker',
  summary: 'serve the load of workers over HTTP, as told by those who place requests',
  details: `Example:
  curl http://127.0.0.1:8091/register -H 'content-type: application/json' -d '{"model_name": "llama", "worker_id": 1, "block_size": 16}'

docs/guides/router-services.md has every path.`,
  settings: SLOT_TRACKER_SETTINGS,
  async run({ host, port, drainSecs, requestExpirySecs }, context) {
    const tracker = new SlotTracker({ clock: new RealClock(), leaseMs: 1000 * requestExpirySecs });
    const server = makeServiceServer({ host, port, log: context.log, maxBodyBytes: MAX_BODY_BYTES });
    addSlotRoutes(server.app, tracker);
    try {
      announceService('slot-tracker', await server.start(), context);
      if (!context.signal.aborted) await once(context.signal, 'abort');
      await server.stop(1000 * drainSecs);
    } finally {
      tracker.stop();
    }
    return 0;
  },
});
