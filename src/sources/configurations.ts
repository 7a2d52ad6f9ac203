import { canonicalJson } from '../base/canonical.ts';
import type { Configuration } from '../config/configuration.ts';
import { combine, policyFileOf, type ReadFile, readPolicyDocument, readPolicyText } from '../config/read.ts';
import type { ChainEntry } from '../config/schema.ts';
import type { Store } from '../store/store.ts';
import { requireNeverThere } from './policies.ts';

/** What an entry and a text came to. */
interface Judged {
  readonly text: string;
  /** Returns the configuration, or throws why it is none. */
  readonly result: () => Configuration;
}

/** Entries that are remembered at most: one for each network whose chain says something of its own. */
const most = 64;

/**
 * Whole configurations of chain entries, for who asks again and again: each is made anew only when its entry or the text of
 * its policy file is another one, and one that is wrong is judged no more often.
 */
export class Configurations {
  readonly #readFile: ReadFile;
  readonly #judged = new Map<string, Judged>();

  constructor(readFile: ReadFile) {
    this.#readFile = readFile;
  }

  /** The same object as before while nothing changed. Throws as ADD does for one that is invalid, or whose file is gone. */
  of(entry: ChainEntry, store: Store): Configuration {
    const text = readPolicyText(policyFileOf(entry), this.#readFile);
    const read = () => combine(entry, readPolicyDocument(entry, () => text) ?? requireNeverThere(entry, store));
    if (text === undefined) return read();
    const key = canonicalJson(entry);
    const known = this.#judged.get(key);
    if (known?.text === text) return known.result();
    if (this.#judged.size >= most) this.#judged.clear();
    const result = outcomeOf(read);
    this.#judged.set(key, { text, result });
    return result();
  }
}

function outcomeOf<T>(action: () => T): () => T {
  try {
    const value = action();
    return () => value;
  } catch (error) {
    return () => {
      throw error;
    };
  }
}
