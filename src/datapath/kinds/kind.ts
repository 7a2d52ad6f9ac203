import type { HostObject } from '../objects.ts';
import type { InUse, OurState } from '../release.ts';

/** The descriptor of a kind of object that we set up on a node. */
export interface Kind<T> {
  /** The identity of an object on two lists, whatever else may differ. The words name it for people, too. */
  key(object: T): string;
  /** The object in the words of the tool that shows it. */
  text(object: T): string;
  /** Whether an observed object is as it should be. Absent: when all members are equal. */
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
  /** Whether it is taken down before everything else, or at the end. Objects on a device go with it. */
  goes(object: T): 'first' | 'last';
  /**
   * Whether it is set up when all is there, our tables too; absent of what they send packets to. One that `goes` first also
   * goes when another takes its place.
   */
  comes?(object: T): 'first' | 'last';
  /** Those that may go, when of all that may own them only that is in use: what is left of a killed ADD is among them. */
  released(state: OurState, inUse: InUse): readonly T[];
}

/** Setting up, or taking down. */
export type Verb = 'add' | 'del';

/** For kinds whose objects go with their device: none is taken down by itself. */
export const withDevice = (): readonly never[] => [];

/** For kinds that wait for no interface. */
export const noInterface = (): undefined => undefined;

/** The objects of one kind. */
export const ofKind = <K extends HostObject['kind']>(
  objects: readonly HostObject[],
  kind: K,
): Extract<HostObject, { readonly kind: K }>[] =>
  objects.filter((object): object is Extract<HostObject, { readonly kind: K }> => object.kind === kind);

/** `ip` and `bridge` can replace an object. */
export const replaceOr = (verb: Verb) => (verb === 'add' ? 'replace' : verb);
