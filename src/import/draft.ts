import type { Address, Prefix } from '../base/address.ts';
import { fnv1a } from '../base/fnv1a.ts';
import type { PortRange } from '../base/port-range.ts';
import type { Problem } from '../config/problem.ts';
import type { LabelSelector } from '../config/selector-schema.ts';

/** A policy that somebody has, in our words, as far as their document tells. */
export interface Draft {
  /** What messages call the document. */
  readonly source: string;
  /** Identity of the document. */
  readonly identity: string;
  /** {@link fitName} has made it fit, but another draft may have the same. */
  readonly name: string;
  readonly namespaces: readonly string[];
  readonly destinations: readonly Prefix[];
  readonly except: readonly Prefix[];
  readonly ports?: readonly PortRange[];
  /** Labels of pods and of namespaces, where plugins are told them. */
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
  /** Something that has no counterpart selects fewer pods. */
  readonly optIn: boolean;
  /** Its destinations and exclusions are in one table with those of other policies: see `inOneTable`. */
  readonly inTable?: true;
  /** Absent: packets leave as if there were no policy. */
  readonly exit?: ExitDraft;
}

/** A draft whose packets leave by an exit. */
export interface LeavingDraft extends Draft {
  readonly exit: ExitDraft;
}

/** A way out, as far as a document tells. Drafts with the same way out share an exit. */
export interface ExitDraft {
  /** JSON pointer of the place that describes it. */
  readonly pointer: string;
  /** The nodes that packets leave from, in the words of the document; absent: the pod's own node. */
  readonly from?: string;
  /** The same as selectors of nodes' labels: each fits some of the gateways; `undefined` in it: any node. */
  readonly nodes?: readonly (LabelSelector | undefined)[];
  /** Of a family without one, or of both, the document does not tell. */
  readonly addresses: readonly Address[];
  readonly interface?: string;
}

/** What was made of a document. With errors the drafts are of no use. */
export interface Reading {
  readonly drafts: readonly Draft[];
  readonly warnings: readonly Problem[];
  readonly errors: readonly Problem[];
}

/** What is known beside a document when it is read. */
export interface ReadingContext {
  /** Before the names of its policies, so that they are no other's. */
  readonly prefix: string;
  /** Plugins are told labels of pods and namespaces: selectors stay what they are. */
  readonly knowsLabels: boolean;
}

/** A document that nothing can be made of. */
export const skipped = (source: string, why: string): Reading => ({
  drafts: [],
  warnings: [{ source, pointer: '', message: `${why}: skipped` }],
  errors: [],
});

const longestName = 63;

/** A name of Kubernetes, of up to 253 characters, as ours: one that is cut gets a hash of the whole. */
export const fitName = (name: string): string => (name.length <= longestName ? name : hashed(name, name));

/** The name, cut as far as needed, and a hash of something that no other has. */
export const hashed = (name: string, of: string): string => {
  const hash = fnv1a(of).toString(16).padStart(8, '0');
  return `${name.slice(0, longestName - 1 - hash.length)}-${hash}`;
};

/** A sentence about a policy with `optIn`: the annotation that its pods need. */
export const askedFor = (policy: string): string =>
  `policy "${policy}" is only for pods that ask for it by the annotation egress.cni/policy ("optIn")`;

/** Why labels say nothing to us. */
export const labelsUnknown = 'since a CNI plugin is not told them';

/** Our way in place of labels of pods. */
export const namePods = '"pods" can tell them by name instead';
