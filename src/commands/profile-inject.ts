import { basename } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { fail } from '../base/errors.ts';
import { text } from '../base/settings.ts';
import { claimPath } from '../transport/kubernetes/claim-path.ts';
import { CLAIM_SETTINGS, withClaim } from './claim-settings.ts';
import { defineCommand } from './command.ts';
import { readText } from './read-text.ts';

export const command = defineCommand({
  name: 'profile inject',
  summary: 'Put a deployment file on a volume claim on Kubernetes, for a profile that runs there',
  details: `Example:
  kvasir profile inject --namespace my-namespace --src disagg.yaml --dest /data/configs/disagg.yaml

A pod mounts the claim at /data for the copying and is deleted afterwards.`,
  settings: {
    src: text({ placeholder: 'FILE', help: 'YAML file to copy' }),
    dest: text({
      placeholder: '/data/FILE',
      help: 'where it goes on the claim; a name that ends in / is a folder',
    }),
    ...CLAIM_SETTINGS,
  },
  async run(settings, { signal, print, interactive }) {
    const { src, dest } = settings;
    if (src === undefined || dest === undefined) {
      const reason = `${src === undefined ? '--src' : '--dest'} is needed`;
      throw fail('KV_USAGE', { reason, mend: 'See kvasir profile inject --help.' });
    }
    const path = claimPath('--dest', dest.endsWith('/') ? `${dest}${basename(src)}` : dest);
    const source = await readText(src);
    // A job that fails on it would say so minutes later.
    const broken = parseAllDocuments(source).flatMap(({ errors }) => errors)[0];
    if (broken !== undefined)
      throw fail('KV_FILE_MALFORMED', { path: src, reason: broken.message, mend: 'Mend the YAML.' });
    await withClaim(settings, signal, (pod) => pod.write(path, Buffer.from(source)));
    print(interactive ? `${src} is on ${settings.claim} as ${path}.` : JSON.stringify({ src, dest: path }));
    return 0;
  },
});
