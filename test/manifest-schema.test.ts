import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { schemaFaults } from './support/kubernetes-schema.ts';

const FOLDER = join(import.meta.dirname, '../deploy/kubernetes');
const FILES = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'));

describe('the manifests for Kubernetes', () => {
  test.each(FILES)('%s holds only fields that its kinds have, of their types', (name) => {
    const documents = parseAllDocuments(readFileSync(join(FOLDER, name), 'utf8')).map((each) => each.toJS());
    expect(documents.length).toBeGreaterThan(0);
    expect(documents.flatMap(schemaFaults)).toEqual([]);
  });

  test('and the check finds what is misspelled, of a wrong type, or out of place', () => {
    const container = { name: 'a', image: 'b', arg: [], env: [{ name: 'X', value: 1 }], ports: {} };
    const job = {
      apiVersion: 'batch/v1',
      kind: 'Job',
      spec: { backOffLimit: 0, template: { spec: { containers: [container], restartPolicy: true } } },
    };
    expect(schemaFaults(job)).toEqual([
      'Job.spec.backOffLimit is unknown',
      'Job.spec.template.spec.containers[0].arg is unknown',
      'Job.spec.template.spec.containers[0].env[0].value is no string',
      'Job.spec.template.spec.containers[0].ports is no list',
      'Job.spec.template.spec.restartPolicy is no string',
    ]);
  });
});
