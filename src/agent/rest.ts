import type { Configuration } from '../config/configuration.ts';
import type { Round } from './round.ts';

/** What a round goes by, but for what the kernel tells of by itself. */
export interface Inputs {
  /** The same object while it is the same. */
  readonly configuration: Configuration | undefined;
  /** Of the files that are read, see `stateOf`: `undefined` moments after a change. */
  readonly files: string | undefined;
}

/** Milliseconds after which all is looked at again though nothing rang: a message may have been lost. */
export const lookEvery = 300_000;

/** Knows whether a look at all of the node would find what the last one found: that all is right. */
export class Rest {
  #known: { readonly inputs: Inputs; readonly at: number } | undefined;

  /** Whether nothing has changed since a round that found all right, in milliseconds not too long ago. */
  isAsBefore({ configuration, files }: Inputs, now: number): boolean {
    const { inputs, at = 0 } = this.#known ?? {};
    if (inputs === undefined || configuration === undefined || now - at >= lookEvery) return false;
    return inputs.configuration === configuration && inputs.files === files;
  }

  /** Takes what came of a round, with what it went by and when it began. */
  ended(round: Round, inputs: Inputs, began: number): void {
    if (round.glance === 'enough') return;
    const isKnown = isAllRight(round) && inputs.files !== undefined;
    this.#known = isKnown ? { inputs, at: began } : undefined;
  }
}

const isAllRight = ({ isWhole, isConfigured, changes, adopted, collected, refused, failures }: Round): boolean =>
  isWhole && isConfigured && [changes, adopted, collected, refused, failures].every(({ length }) => length === 0);
