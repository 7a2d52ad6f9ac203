import type { Address } from '../base/address.ts';

/** A question on its way. */
export interface Pending {
  readonly exit: string;
  readonly gateway: Address;
  readonly question: number;
}

/** Questions that may still be answered: the last of these. */
const pendingAtMost = 4096;
/** Bytes of the secret that shows an answer to be one. */
const secretBytes = 8;

/** Questions on their way, by the data that their answers bring back. */
export class PendingQuestions {
  readonly #all = new Map<number, Pending>();
  /** Only who was asked can answer: strangers do not know it. */
  readonly #secret = Buffer.from(crypto.getRandomValues(new Uint8Array(secretBytes)));
  #token = 0;

  /** The data that the question is to be sent with. */
  add(question: Pending): Buffer {
    this.#token = (this.#token + 1) >>> 0;
    this.#all.set(this.#token, question);
    this.#all.delete(this.#token - pendingAtMost);
    const token = Buffer.alloc(4);
    token.writeUInt32BE(this.#token);
    return Buffer.concat([this.#secret, token]);
  }

  /** What was asked; `undefined` for data that is no answer, or one that comes too late. */
  answeredBy(data: Buffer): Pending | undefined {
    if (data.length !== secretBytes + 4 || !data.subarray(0, secretBytes).equals(this.#secret)) return undefined;
    return this.#all.get(data.readUInt32BE(secretBytes));
  }
}
