import type { Host } from '../datapath/host.ts';
import type { Store } from '../store/store.ts';

/** Lines for people and their programs; never on stdout, which belongs to the result. */
export interface Log {
  /** The fields are made only when somebody wants to see them. */
  debug(fields: () => object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** For who wants no log. */
export const silent: Log = { debug: () => {}, info: () => {}, warn: () => {} };

/** How far something of many parts is. */
export interface Step {
  /** What comes next. */
  readonly what: string;
  readonly done: number;
  readonly of: number;
}

/** Tells a person before each part, and says whether to go on: what is left is left as it was. */
export type Onward = (step: Step) => Promise<boolean>;

/** What a verb works with. */
export interface Machine {
  readonly host: Host;
  readonly store: Store;
  readonly log: Log;
  /** Tells this build of the program from all others; `undefined` moments after it was put where it is. Absent: the same. */
  readonly build?: () => string | undefined;
  /** Waited for before something is changed in the kernel. Absent: nobody has to know. */
  readonly before?: () => Promise<void>;
  /** Asked between the parts of a repair. Absent: it goes on. */
  readonly onward?: Onward;
}
