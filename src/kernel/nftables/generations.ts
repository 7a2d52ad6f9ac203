import { genericHeaderLength, isOfOurTable, newGeneration, nftablesGroup } from '../netlink/our-table.ts';
import type { NetlinkSocket, Reply } from '../netlink/socket.ts';
import { decode } from '../netlink/wire.ts';
import { generationAttributes } from './attributes.ts';

/** For ten thousand elements of others, which are read in 10 ms: to hear of more takes as long as to look again. */
const roomBytes = 1024 * 1024;

/**
 * Hears which generations of the ruleset changed our tables, and which those of others alone. The kernel tells all of a transaction, and
 * its generation last, before it begins the next one, or lets anybody know that his is late. What it could not tell is an error of the
 * socket. So a state that was read while this was there holds in each later generation up to which nothing else was heard.
 */
export class HeardGenerations implements Disposable {
  readonly #socket: Pick<NetlinkSocket, 'join' | 'unasked' | 'close'>;
  #isDeaf: boolean;
  /** From one to the other nobody has changed our tables. */
  #known: { readonly first: number; readonly last: number } | undefined;
  #isOurs = false;

  /** Takes over the socket. */
  constructor(socket: Pick<NetlinkSocket, 'join' | 'unasked' | 'close'>) {
    this.#socket = socket;
    this.#isDeaf = !socket.join(nftablesGroup, roomBytes);
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  /** Takes a generation that was read just now. Of what comes behind the first that was read here all is heard. */
  read(generation: number): void {
    this.#known ??= { first: generation, last: generation };
  }

  /** The newest generation in which our tables are as in an earlier one, as far as is heard by now; `undefined`: nobody knows. */
  newestLike(generation: number): number | undefined {
    this.#hear();
    if (this.#isDeaf || this.#known === undefined) return undefined;
    const { first, last } = this.#known;
    return isBehind(first, generation) || isBehind(generation, last) ? undefined : last;
  }

  #hear(): void {
    try {
      for (const message of this.#isDeaf ? [] : this.#socket.unasked()) this.#take(message);
    } catch {
      this.#isDeaf = true; // something was lost: nobody knows what it told
    }
  }

  #take({ type, body }: Reply): void {
    if (type !== newGeneration) {
      this.#isOurs ||= isOfOurTable(body);
      return;
    }
    const { id } = decode(generationAttributes, body, genericHeaderLength);
    const [known, isOurs] = [this.#known, this.#isOurs];
    this.#isOurs = false;
    if (id === undefined || known === undefined) this.#isDeaf = true;
    else if (id === next(known.last)) this.#known = { first: isOurs ? id : known.first, last: id };
    else if (isBehind(id, known.last)) this.#isDeaf = true; // one between them was missed
  }
}

/** Generations have 32 bits, and none is 0. */
const next = (generation: number): number => (generation + 1) >>> 0 || 1;

const isBehind = (generation: number, other: number): boolean => {
  const by = (generation - other) >>> 0;
  return by !== 0 && by < 0x8000_0000;
};
