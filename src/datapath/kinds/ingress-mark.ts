import { hexNumber } from '../../base/shown.ts';
import { type OutsideKind, withDevice } from './kind.ts';

/** What comes in by an interface gets these bits in its mark, before nftables sees it; others under the mask are cleared. */
export interface IngressMark {
  readonly kind: 'ingressMark';
  /** Name of the interface. */
  readonly device: string;
  readonly value: number;
  readonly mask: number;
}

const textOf = ({ device, value, mask }: IngressMark): string =>
  `mark ${hexNumber(value)}/${hexNumber(mask)} at ingress of ${device}`;

/** It is taken away first, also for another in its place, and comes last: what it marks goes nowhere where nothing judges it. */
export const ingressMark: OutsideKind<IngressMark> = {
  key: ({ device }) => `ingressMark ${device}`,
  text: textOf,
  describe: (desired, observed) => [`${textOf(observed)} is there, expected ${textOf(desired)}`],
  command: ({ device, value, mask }, verb) =>
    verb === 'add'
      ? `tc qdisc add dev ${device} clsact; tc filter replace dev ${device} ingress pref 230 handle 1 bpf direct-action # sets mark ${hexNumber(value)}/${hexNumber(mask)}`
      : `tc filter del dev ${device} ingress pref 230`,
  needsUp: ({ device }) => device,
  hasMark: true,
  goes: () => 'first',
  comes: () => 'last',
  released: withDevice, // of pods that run on, and of those that nobody knows any more, see node/release.ts
};
