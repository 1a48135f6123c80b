import { join } from 'node:path';
import { fail } from '../base/errors.ts';
import { flag, text } from '../base/settings.ts';
import { writeFileAtomic } from '../transport/atomic-file.ts';
import { claimPath, placeOf } from '../transport/kubernetes/claim-path.ts';
import type { ClaimFile, ClaimPod } from '../transport/kubernetes/claim-pod.ts';
import { CLAIM_SETTINGS, withClaim } from './claim-settings.ts';
import { defineCommand } from './command.ts';

const PROGRESS_EVERY = 5;
const DEPLOYMENT_FILES = ['*.yaml', '*.yml'];

export const command = defineCommand({
  name: 'profile download',
  summary: 'Copy the results of a profile from a volume claim on Kubernetes',
  details: `Example:
  kvasir profile download --namespace my-namespace --folder /data/profiling_results --output-dir results

A pod mounts the claim at /data for the copying and is deleted afterwards.`,
  settings: {
    folder: text({
      default: '/data/profiling_results',
      placeholder: '/data/DIR',
      help: 'folder on the claim to copy, with all that is below it',
    }),
    outputDir: text({ default: 'profiling_results', placeholder: 'DIR', help: 'folder to copy it to' }),
    noConfig: flag({ help: 'leave out the deployment files (*.yaml, *.yml)' }),
    ...CLAIM_SETTINGS,
  },
  async run(settings, { log, signal, print, interactive }) {
    const folder = claimPath('--folder', settings.folder);
    const { outputDir } = settings;
    const copied = await withClaim(settings, signal, async (pod) => {
      const files = await pod.list(folder, settings.noConfig ? DEPLOYMENT_FILES : []);
      if (files.length === 0) throw fail('KV_PROFILE_NOTHING_THERE', { folder, claim: settings.claim });
      const places = placed(files, folder);
      let bytes = 0;
      for (const [i, { file, place }] of places.entries()) {
        bytes += await copy(pod, file, join(outputDir, place));
        if ((i + 1) % PROGRESS_EVERY === 0) log.info({ copied: i + 1, files: files.length }, 'copying');
      }
      return { files: files.length, bytes };
    });
    print(
      interactive
        ? `${copied.files} files (${copied.bytes} bytes) are in ${outputDir}.`
        : JSON.stringify({ ...copied, output_dir: outputDir }),
    );
    return 0;
  },
});

/** All of them before the first is written: a claim that holds one odd name is not to be trusted with the others. */
function placed(files: readonly ClaimFile[], folder: string): { file: ClaimFile; place: string }[] {
  return files.map((file) => {
    const place = placeOf(file.path, folder);
    if (place === undefined) throw fail('KV_PROFILE_ODD_PATH', { path: file.path, folder });
    return { file, place };
  });
}

async function copy(pod: ClaimPod, file: ClaimFile, to: string): Promise<number> {
  const content = await pod.read(file);
  await writeFileAtomic(to, content);
  return content.length;
}
