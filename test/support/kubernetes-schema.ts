import * as client from '@kubernetes/client-node';

interface Attribute {
  readonly baseName: string;
  readonly type: string;
}
interface Model {
  getAttributeTypeMap(): readonly Attribute[];
}

/**
 * What the API would not know or take in an object, by path: the official client carries every field of every kind with
 * its type, as generated from the OpenAPI of Kubernetes. What must be there it does not tell.
 */
export function schemaFaults(object: { readonly apiVersion: string; readonly kind: string }): string[] {
  const version = object.apiVersion.split('/').at(-1)!;
  const name = `${version[0]!.toUpperCase()}${version.slice(1)}${object.kind}`;
  return faults(object, name, object.kind);
}

function faults(value: unknown, type: string, path: string): string[] {
  const list = /^Array<(.*)>$/.exec(type)?.[1];
  const map = /^\{ \[key: string\]: (.*); \}$/.exec(type)?.[1];
  if (list !== undefined)
    return Array.isArray(value)
      ? value.flatMap((each, i) => faults(each, list, `${path}[${i}]`))
      : [`${path} is no list`];
  if (map !== undefined)
    return isObject(value)
      ? Object.entries(value).flatMap(([key, each]) => faults(each, map, `${path}.${key}`))
      : [`${path} is no mapping`];
  if (type === 'IntOrString')
    return ['number', 'string'].includes(typeof value) ? [] : [`${path} is neither number nor string`];
  const model = (client as unknown as Readonly<Record<string, Model | undefined>>)[type];
  if (model === undefined) return typeof value === type ? [] : [`${path} is no ${type}`];
  if (!isObject(value)) return [`${path} is no mapping`];
  const attributes = new Map(model.getAttributeTypeMap().map((each) => [each.baseName, each.type]));
  return Object.entries(value).flatMap(([key, each]) => {
    const inner = attributes.get(key);
    return inner === undefined ? [`${path}.${key} is unknown`] : faults(each, inner, `${path}.${key}`);
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
