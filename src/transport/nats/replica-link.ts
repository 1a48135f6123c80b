import type { Msg } from '@nats-io/transport-node';
import { decodeReplicaMessage, encodeReplicaMessage } from '../../formats/replica/message-codec.ts';
import type { ReplicaMessage } from '../../formats/replica/replica-message.ts';
import type { NatsConnection } from './nats-connection.ts';
import { replicaInbox, replicaSubject } from './subjects.ts';

export interface ReplicaLinkOptions {
  readonly connection: NatsConnection;
  readonly namespace: string;
  /** Routers of one group share their bookings: those of the same model, hop and block size. */
  readonly group: string;
  readonly router: string;
}

/** Carries what the routers of a group tell each other. What cannot be sent is dropped: its absence is noticed. */
export class ReplicaLink {
  readonly #options: ReplicaLinkOptions;
  readonly #subject: string;
  #ends: (() => void)[] = [];

  constructor(options: ReplicaLinkOptions) {
    this.#options = options;
    this.#subject = replicaSubject(options.namespace, options.group);
  }

  /** `onMalformed` hears of messages that cannot be read, such as another version's. */
  start(onMessage: (message: ReplicaMessage) => void, onMalformed: () => void): void {
    const { connection, router } = this.#options;
    const take = ({ data }: Msg): void => {
      const message = decodeReplicaMessage(data);
      if (message === undefined) onMalformed();
      else onMessage(message);
    };
    this.#ends = [`${this.#subject}.all`, replicaInbox(this.#subject, router)].map((subject) =>
      connection.subscribe(subject, take),
    );
  }

  /** To the whole group, or to one router of it; false if it was dropped. */
  send(message: ReplicaMessage, to?: string): boolean {
    const subject = to === undefined ? `${this.#subject}.all` : replicaInbox(this.#subject, to);
    return this.#options.connection.publish(subject, encodeReplicaMessage(message));
  }

  stop(): void {
    for (const end of this.#ends.splice(0)) end();
  }
}
