import { choice, int, number, text } from '../base/settings.ts';

/** How to reach the NATS of the distributed plane; of every process that takes part in it. */
export const NATS_SETTINGS = {
  natsServer: text({
    default: 'nats://127.0.0.1:4222',
    env: 'NATS_SERVER',
    placeholder: 'nats://HOST:PORT',
    secret: true,
    help: 'NATS server, or several of a cluster parted by commas; it needs JetStream for discovery. User and password, or a token, before @',
  }),
  natsCredentialsFile: text({
    env: 'NATS_AUTH_CREDENTIALS_FILE',
    placeholder: 'FILE',
    help: 'credentials file of a NATS account',
  }),
  natsCaFile: text({
    env: 'NATS_CA',
    placeholder: 'FILE',
    help: 'certificates (PEM) of the authority that signed those of NATS servers; the usual ones unless given',
  }),
  natsCertFile: text({
    env: 'NATS_CERT',
    placeholder: 'FILE',
    help: 'own certificate (PEM), for NATS servers that ask for one',
  }),
  natsKeyFile: text({
    env: 'NATS_KEY',
    placeholder: 'FILE',
    help: 'private key (PEM) of that certificate',
  }),
  natsReplicas: int({
    default: 1,
    min: 1,
    max: 5,
    help: 'servers of a NATS cluster that keep the records of workers; 3 to survive the loss of one',
  }),
  leaseSecs: number({
    default: 10,
    min: 1,
    max: 3600,
    placeholder: 'SECONDS',
    help: 'a worker that has not renewed its record in NATS for so long is gone',
  }),
};

/** Which endpoints of Kubernetes are engines. */
const KUBERNETES_SETTINGS = {
  kubeconfig: text({
    env: 'KUBECONFIG',
    placeholder: 'FILE',
    help: 'how to reach the Kubernetes API; ~/.kube/config, or the service account of the pod, unless given',
  }),
  kubeNamespace: text({
    env: 'POD_NAMESPACE',
    placeholder: 'NAME',
    help: 'Kubernetes namespace of the engines’ services; the pod’s own, or that of the current context, unless given',
  }),
  kubeSelector: text({
    default: 'kvasir-engine=true',
    placeholder: 'SELECTOR',
    help: 'labels of the services whose endpoints are engines; their labels kvasir-role, -model, -block-size, -dp and -kind say what an engine does not tell itself',
  }),
  kubePort: text({
    default: 'http',
    placeholder: 'NAME',
    help: 'name or number of the engines’ API port; the only port of a service counts whatever its name',
  }),
  kubeKvEventsPort: text({
    default: 'kv-events',
    placeholder: 'NAME',
    help: 'name of the port where engines publish KV events, rank 0; engines may also tell themselves',
  }),
  kubeReplayPort: text({
    default: 'kv-replay',
    placeholder: 'NAME',
    help: 'name of the port where missed KV events are asked for',
  }),
};

/** How a process that routes learns of its workers. */
export const DISCOVERY_SETTINGS = {
  discovery: choice({
    choices: ['static', 'nats', 'kubernetes'],
    default: 'static',
    env: 'DYN_DISCOVERY_BACKEND',
    aliases: ['--discovery-backend'],
    help: 'how workers are found: from --engine, from the records they keep in NATS, or from EndpointSlices of Kubernetes',
  }),
  ...NATS_SETTINGS,
  ...KUBERNETES_SETTINGS,
};

/** How a worker makes itself known, and where its KV events go. */
export const REGISTRATION_SETTINGS = {
  discovery: choice({
    choices: ['static', 'nats', 'kubernetes'],
    default: 'static',
    env: 'DYN_DISCOVERY_BACKEND',
    aliases: ['--discovery-backend'],
    help: 'how frontends find the worker: they are told (static), from a record that it keeps in NATS, or from Kubernetes, where it does nothing',
  }),
  advertiseHost: text({
    placeholder: 'HOST',
    help: 'host by which frontends reach the worker; the name of this machine if it listens on all addresses, else the address it listens on',
  }),
  eventPlane: choice({
    choices: ['zmq', 'nats'],
    env: 'DYN_EVENT_PLANE',
    help: 'how frontends get KV events: from the ZMQ publisher of --kv-events, or over NATS; nats with --discovery nats unless --kv-events is given',
  }),
  ...NATS_SETTINGS,
};
