/** A batch of KV events as its engine numbered it, still encoded. */
export interface PublishedBatch {
  readonly topic: string;
  /** Per publisher: rises by one with each batch, and begins anew when the engine restarts. */
  readonly seq: number;
  readonly payload: Uint8Array;
}
