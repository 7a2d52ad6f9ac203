import type { HostObject } from '../objects.ts';
import type { InUse, OurState } from '../release.ts';

/** What has to be known of each kind of object that we set up on a node. */
export interface Kind<T> {
  /** What makes an object the same one on two lists, whatever else may differ: the words name it for people, too. */
  key(object: T): string;
  /** The object in the words of the tool that shows it. */
  text(object: T): string;
  /** Whether what was observed is as it should be. Absent: when all members are equal. */
  isSame?(desired: T, observed: T): boolean;
  /** How two objects with one key differ, in sentences; absent where there is no more to say than that they do. */
  describe?(desired: T, observed: T): readonly string[];
  /** The interface that has to be there, and up, for the kernel to take the object. */
  needsUp(object: T): string | undefined;
  /** Whether such objects ask for the packet mark, or write it: they change when the node gets another mark. */
  readonly hasMark: boolean;
}

/** A kind of object outside of nftables. */
export interface OutsideKind<T> extends Kind<T> {
  /** The command that sets it up, or takes it down. */
  command(object: T, verb: Verb): string;
  /** Taken down before all that follows, or after all is done; what is on a device that goes, goes with it. */
  readonly goes: 'first' | 'last';
  /** Those that may go, when of all that may own them only that is in use: what is left of a killed ADD is among them. */
  released(state: OurState, inUse: InUse): readonly T[];
}

/** What a command does: sets up, or takes down. */
export type Verb = 'add' | 'del';

/** Of such kinds as go with their device: nothing is taken down by itself. */
export const withDevice = (): readonly never[] => [];

/** Of such kinds as wait for no interface. */
export const noInterface = (): undefined => undefined;

/** Of the objects those of one kind. */
export const ofKind = <K extends HostObject['kind']>(
  objects: readonly HostObject[],
  kind: K,
): Extract<HostObject, { readonly kind: K }>[] =>
  objects.filter((object): object is Extract<HostObject, { readonly kind: K }> => object.kind === kind);

/** `ip` and `bridge` replace what is there. */
export const replaceOr = (verb: Verb) => (verb === 'add' ? 'replace' : verb);
