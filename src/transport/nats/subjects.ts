/**
 * Names on NATS. Subjects begin as Dynamo's do (`namespace.NS.component.NAME.EVENT`); what a name must not hold
 * (dots, spaces, wildcards) becomes a dash.
 */
function token(name: string): string {
  return name.replace(/[^\w-]/g, '-') || '-';
}

/** KV bucket of the records of a namespace's workers. */
export function instanceBucket(namespace: string): string {
  return `kvasir-${token(namespace)}-instances`;
}

/** Key of a worker's record; `undefined` parts match all. */
export function instanceKey(component: string, workerId: string): string {
  return `instances.${token(component)}.${token(workerId)}`;
}

export const ALL_INSTANCES = 'instances.>';

/** A worker's KV events; those of rank r are at `.r`, and `.r.replay` is where missed ones are asked for. */
export function kvEventsSubject(namespace: string, component: string, workerId: string): string {
  return `${componentSubject(namespace, component)}.kv_events.${token(workerId)}`;
}

/** Loads of all ranks of a component; those of any component unless one is named. */
export function loadSubject(namespace: string, component?: string): string {
  return `${componentSubject(namespace, component)}.kv_metrics`;
}

/** What the routers of a group tell each other: at `.all`, or at `.to.ROUTER` for one alone. */
export function replicaSubject(namespace: string, group: string): string {
  return `namespace.${token(namespace)}.active_sequences_events.${token(group)}`;
}

export function replicaInbox(subject: string, router: string): string {
  return `${subject}.to.${token(router)}`;
}

function componentSubject(namespace: string, component: string | undefined): string {
  return `namespace.${token(namespace)}.component.${component === undefined ? '*' : token(component)}`;
}
