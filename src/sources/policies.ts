import { EgressError } from '../base/errors.ts';
import { sha256Hex } from '../base/sha256.ts';
import { type Configuration, configurationOf } from '../config/configuration.ts';
import { type KeptObjects, keptFileOf } from '../config/kept.ts';
import { combine, policyFileOf, type ReadFile, readKept, readPolicyDocument } from '../config/read.ts';
import type { ChainEntry, PolicyDocument } from '../config/schema.ts';
import type { Pod, Program } from '../policy/match.ts';
import { isFor, outlineOf, programDigest } from '../policy/program.ts';
import { programOf } from '../policy/wishes.ts';
import type { Store } from '../store/store.ts';

/** The parts that name a program and make its rules. */
interface Sketch {
  /** See {@link outlineOf}; empty: nothing changes for the pod. */
  readonly outline: Program;
  /** See {@link programDigest}. */
  readonly digest: string;
}

/** The program that policies make for a pod. */
export interface Choice extends Sketch {
  /** The program with all ranges. Throws `try-again` when the policy file has changed since. */
  whole(): Program;
}

/** What ADD goes by. */
export interface Policies {
  /** Policies of the policy file may be without most of their ranges. */
  readonly configuration: Configuration;
  choose(pod: Pod): Choice;
  /** Keeps the summary for the next call. Needs the store's lock. */
  keep(): void;
}

/** How the policy file is looked at. */
export interface PolicyFiles {
  readonly readFile: ReadFile;
  /**
   * A text that changes with the content of the file, with that of another one that need not be there, and with the program
   * that reads them. Undefined when there is no such text: no file, or one that changed so lately that the next change may bear
   * the same time.
   */
  identify(path: string, kept: string): string | undefined;
}

/** What is read of policies outside of the chain entry. */
interface Documents {
  /** The policy file. */
  readonly document: PolicyDocument;
  /** Objects of the cluster, where they are wanted. */
  readonly kept?: KeptObjects | undefined;
}

/** Documents of which there may be no policy file. */
type Found = Pick<Documents, 'kept'> & { readonly document?: PolicyDocument | undefined };

/** The summary of a policy file, and of objects of the cluster: all but their ranges, and the programs that they made. */
interface Summary extends Documents {
  readonly programs: Programs;
}

/** Names of policies as JSON → the program that they make. */
type Programs = Record<string, Sketch>;

/**
 * The configuration, and the programs that it makes. The ranges of an unchanged policy file are not read again: an
 * earlier call kept a summary. It is believed only when it is complete, and was written for this very file by this very
 * program. Otherwise the file is read.
 */
export function readPolicies(entry: ChainEntry, { readFile, identify }: PolicyFiles, store: Store): Policies {
  const read = () => readDocuments(entry, readFile, store);
  const isOwn = entry.policies?.length;
  const identity = isOwn ? undefined : identify(policyFileOf(entry), keptFileOf(entry)); // before anything is read
  const known = identity === undefined ? undefined : unseal(store.loadSummary(), identity);
  const documents = known ?? read();
  const combined = ({ document, kept }: Found) => combine(entry, document, kept);
  const configuration = combined(documents);
  const full = known ? once(() => combined(read())) : () => configuration;
  const programs: Programs = { ...known?.programs };
  const count = Object.keys(programs).length;
  return {
    configuration,
    choose: (pod) => choose(configuration, full, programs, pod),
    keep: () => {
      const { document, kept } = documents;
      if (identity === undefined || document === undefined || Object.keys(programs).length === count) return;
      const short = kept && { kept: { ...kept, document: withoutRanges(kept.document) } };
      store.saveSummary(seal({ document: withoutRanges(document), ...short, programs }, identity));
    },
  };
}

function readDocuments(entry: ChainEntry, readFile: ReadFile, store: Store): Found {
  const document = readPolicyDocument(entry, readFile) ?? requireNeverThere(entry, store);
  return { document, kept: readKept(entry, document, readFile) };
}

/**
 * A file at the default place need not be there, but one that was is missing: pods that start without would leave with the
 * node's address. It was there when something is kept of it, or something is set up and the chain entry says nothing of
 * policies.
 */
export function requireNeverThere(entry: ChainEntry, store: Store): undefined {
  const isOwn = entry.policies !== undefined;
  // In this order: while a node has attachments it has a record of its own, and they are not read one by one.
  const isUnused = () => store.loadNode() === undefined && store.list().length === 0;
  if (store.loadSummary() === undefined && (isOwn || isUnused())) return undefined;
  const place = policyFileOf(entry);
  throw new EgressError(
    'try-again',
    `Policy file ${place} is gone: if there are to be no policies any more, write {} to it`,
  );
}

/** A configuration with all its ranges. */
export const policiesOf = (configuration: Configuration): Policies => ({
  configuration,
  choose: (pod) => choose(configuration, () => configuration, {}, pod),
  keep: () => {},
});

/** The policies of a chain entry that steers no new pod. */
export const noPolicies = (entry: ChainEntry): Policies => policiesOf(configurationOf(entry, []));

/** The program of a pod, which is added to `programs` if it was not among them; `full` has the ranges. */
function choose({ policies }: Configuration, full: () => Configuration, programs: Programs, pod: Pod): Choice {
  const whole = once(() => programOf(full(), pod));
  if (pod.annotations !== undefined) return choiceOf(whole());
  const names = policies.filter((policy) => !policy.optIn && isFor(policy, pod)).map(({ name }) => name);
  if (names.length === 0) return choiceOf([]);
  const key = JSON.stringify(names);
  const known = programs[key];
  if (known !== undefined) return { ...known, whole: () => requireSame(whole(), known.digest) };
  const choice = choiceOf(whole());
  programs[key] = { outline: choice.outline, digest: choice.digest };
  return choice;
}

const choiceOf = (program: Program): Choice => ({
  outline: outlineOf(program),
  digest: programDigest(program),
  whole: () => program,
});

function requireSame(program: Program, digest: string): Program {
  if (programDigest(program) === digest) return program;
  throw new EgressError('try-again', 'The policy file has changed while it was read');
}

const withoutRanges = ({ policies = [], ...document }: PolicyDocument): PolicyDocument => ({
  ...document,
  policies: policies.map(({ destinations, except, ...policy }) => ({
    ...policy,
    ...(destinations && { destinations: destinations.slice(0, 1) }),
    ...(except && { except: except.slice(0, 1) }),
  })),
});

/** The summary as a text that {@link unseal} takes for the same identity only, and only as a whole. */
function seal(summary: Summary, identity: string): string {
  const text = JSON.stringify(summary);
  return `${sealOf(text, identity)}\n${text}`;
}

function unseal(sealed: string | undefined, identity: string): Summary | undefined {
  const [own, text = ''] = (sealed ?? '').split('\n', 2);
  return own === sealOf(text, identity) ? (JSON.parse(text) as Summary) : undefined;
}

const sealOf = (text: string, identity: string): string => sha256Hex(`${identity}\n${text}`);

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
