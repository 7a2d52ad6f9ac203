import { sha256Hex } from '../base/sha256.ts';
import { rule } from '../nftables/chain.ts';
import type { Verdict } from '../nftables/expression.ts';
import type { Rule, Statement } from '../nftables/object.ts';
import * as say from '../nftables/statement.ts';
import type { HostObject } from './objects.ts';

/**
 * A connection that a program has decided about is not decided about again. Conntrack remembers what came of it: the
 * label of the connection (nf_conntrack_labels.h) tells which program it was, and where it led. The first rules of a
 * program look for the labels that it gives.
 */

/** Labels of others are of the lower half: connlabel.conf(5) counts from 0. */
const firstBit = 64;

/** Each end has bits of its own, beside which no others matter. */
const bitsOfEnd = 32;

/**
 * How many of them a label has. Labels only ever gain bits, so one that two programs gave in turn has more, and means
 * nothing to either. Two programs give one label once in two hundred million times.
 */
const bitsOfLabel = 12;

/** The bits that labels for an end are made of: some for exits, and others for the node's own way. */
export const bitsFor = (end: Verdict): readonly number[] =>
  Array.from({ length: bitsOfEnd }, (_, i) => firstBit + ('chain' in end ? 0 : bitsOfEnd) + i);

/** The bits of the label for an end of a program, ascending: the chain of an exit, or `return` for the node's own way. */
export function labelOf(program: string, end: Verdict): readonly number[] {
  const name = 'chain' in end ? end.chain : 'node';
  const places = new Set<number>();
  for (let round = 0; places.size < bitsOfLabel; round++) {
    for (const byte of Buffer.from(sha256Hex(`${program} ${name} ${round}`), 'hex')) {
      if (places.size < bitsOfLabel) places.add(byte % bitsOfEnd);
    }
  }
  return bitsFor(end).filter((_, place) => places.has(place));
}

/** What a rule of a program does with packets for an end: its connection has the label from then on. */
export const remembering = (program: string, end: Verdict): readonly Statement[] => [
  say.addLabel(labelOf(program, end)),
  say.verdict(end),
];

/** The rule for connections with the label of an end. */
export const rememberedRule = (program: string, end: Verdict): Rule =>
  rule(say.labelIs(labelOf(program, end), bitsFor(end)), say.verdict(end));

/** Whether a rule is for connections that were decided about. */
export const isOfRemembered = ({ statements: [first] }: Rule): boolean => first !== undefined && isAboutLabel(first);

/** Whether only a kernel with labels of connections can have the object. */
export const needsLabels = (object: HostObject): boolean =>
  object.kind === 'chain' && object.rules.some(({ statements }) => statements.some(isAboutLabel));

const isAboutLabel = ({ expressions }: Statement): boolean =>
  expressions.some((expression) => expression.name === 'ct' && expression.key === 'label');

/** The objects for a kernel without labels of connections (CONFIG_NF_CONNTRACK_LABELS): each packet is decided about. */
export const withoutLabels = (objects: readonly HostObject[]): HostObject[] =>
  objects.map((object) =>
    object.kind === 'chain'
      ? { ...object, rules: object.rules.filter((own) => !isOfRemembered(own)).map(withoutLabel) }
      : object,
  );

/** The rule without what it has conntrack remember: what it is about, and where it leads. */
export const withoutLabel = (own: Rule): Rule => ({
  ...own,
  statements: own.statements.filter((statement) => !isAboutLabel(statement)),
});
