import { sha256Hex } from '../base/sha256.ts';
import { rule } from '../nftables/chain.ts';
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

/** An end that is remembered: an exit, by the name of its chain, or the node's own way. */
export type End = { readonly chain: string } | 'node';

/** The bits that labels for an end are made of. */
export const bitsFor = (end: End): readonly number[] =>
  Array.from({ length: bitsOfEnd }, (_, i) => firstBit + (end === 'node' ? bitsOfEnd : 0) + i);

/** The bits of the label for an end of a program, ascending. */
export function labelOf(program: string, end: End): readonly number[] {
  const [own, name] = [bitsFor(end), end === 'node' ? end : end.chain];
  const places = new Set<number>();
  for (let round = 0; places.size < bitsOfLabel; round++) {
    for (const byte of Buffer.from(sha256Hex(`${program} ${name} ${round}`), 'hex')) {
      if (places.size < bitsOfLabel) places.add(byte % bitsOfEnd);
    }
  }
  return own.filter((_, place) => places.has(place));
}

/** The verdict of an end. */
export const verdictOf = (end: End): Statement =>
  say.verdict(end === 'node' ? { code: 'return' } : { code: 'goto', ...end });

/** The ends of a program that are remembered: the node, and the first of its exits. Few programs have a second one. */
export class Remembered {
  readonly #program: string;
  #exit: string | undefined;
  #node = false;

  constructor(program: string) {
    this.#program = program;
  }

  /** What a rule of the program does with packets that it is for. */
  statements(end: End): readonly Statement[] {
    if (end === 'node') this.#node = true;
    else this.#exit ??= end.chain;
    const isKept = end === 'node' || end.chain === this.#exit;
    return [...(isKept ? [say.addLabel(labelOf(this.#program, end))] : []), verdictOf(end)];
  }

  /** The rules for connections with these labels: first for the exit, since much is asked of its packets later, too. */
  rules(): readonly Rule[] {
    const exits = this.#exit === undefined ? [] : [{ chain: this.#exit }];
    return [...exits, ...(this.#node ? (['node'] as const) : [])].map((end) =>
      rule(say.labelIs(labelOf(this.#program, end), bitsFor(end)), verdictOf(end)),
    );
  }
}

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
