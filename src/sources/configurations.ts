import { canonicalJson } from '../base/canonical.ts';
import type { Configuration } from '../config/configuration.ts';
import { keptFileOf } from '../config/kept.ts';
import { combine, policyFileOf, type ReadFile, readKept, readPolicyDocument, readPolicyText } from '../config/read.ts';
import type { ChainEntry, PolicyDocument } from '../config/schema.ts';
import type { Store } from '../store/store.ts';
import { requireNeverThere } from './policies.ts';

/** What an entry and texts came to. */
interface Judged {
  readonly text: string;
  /** Of the objects of the cluster. */
  readonly kept: string | undefined;
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
  readonly #documents = new Map<string, { readonly text: string; readonly result: () => PolicyDocument | undefined }>();

  constructor(readFile: ReadFile) {
    this.#readFile = readFile;
  }

  /** The policy file of an entry, valid in itself; the same object as before while its text is the same. Throws as `of` does. */
  documentOf(entry: ChainEntry, store: Store): PolicyDocument | undefined {
    const text = readPolicyText(policyFileOf(entry), this.#readFile);
    return this.#document(entry, store, text);
  }

  #document(entry: ChainEntry, store: Store, text: string | undefined): PolicyDocument | undefined {
    const read = () => readPolicyDocument(entry, () => text) ?? requireNeverThere(entry, store);
    if (text === undefined) return read();
    const key = canonicalJson(entry);
    const known = this.#documents.get(key);
    if (known?.text === text) return known.result();
    if (this.#documents.size >= most) this.#documents.clear();
    const result = outcomeOf(read);
    this.#documents.set(key, { text, result });
    return result();
  }

  /** The same object as before while nothing changed. Throws as ADD does for one that is invalid, or whose file is gone. */
  of(entry: ChainEntry, store: Store): Configuration {
    const text = readPolicyText(policyFileOf(entry), this.#readFile);
    const kept = readPolicyText(keptFileOf(entry), this.#readFile);
    const read = () => {
      const document = this.#document(entry, store, text);
      return combine(
        entry,
        document,
        readKept(entry, document, () => kept),
      );
    };
    if (text === undefined) return read();
    const key = canonicalJson(entry);
    const known = this.#judged.get(key);
    if (known?.text === text && known.kept === kept) return known.result();
    if (this.#judged.size >= most) this.#judged.clear();
    const result = outcomeOf(read);
    this.#judged.set(key, { text, kept, result });
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
