import { FRONTEND_SETTINGS } from '../frontend/settings.ts';
import { defineCommand } from './command.ts';
import { FLEET_SETTINGS, serveFrontend } from './serve-frontend.ts';

export const command = defineCommand({
  name: 'frontend',
  summary: 'Serve the OpenAI API in front of a fleet of engines, routing by KV-cache reuse and load',
  details: `Examples:
  kvasir frontend --engine http://10.0.0.1:8000,kv-events=tcp://10.0.0.1:5557 --tokenizer ./tokenizer.json
  kvasir frontend --engine http://127.0.0.1:9001 --engine http://127.0.0.1:9002 --router-mode round-robin
  kvasir frontend --discovery nats --nats-server nats://10.0.0.9:4222 --router-replica-sync`,
  settings: {
    ...FRONTEND_SETTINGS,
    ...FLEET_SETTINGS,
  },
  run: (settings, context) => serveFrontend(settings, context, { role: 'frontend' }),
});
