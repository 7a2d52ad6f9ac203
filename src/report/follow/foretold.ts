import { type Rule, tableName } from '../../nftables/object.ts';
import { printRule } from '../../nftables/script.ts';
import type { Machine } from '../../node/machine.ts';
import type { AttachmentRecord } from '../../store/record.ts';
import { lookAt } from '../attachment-state.ts';
import type { Explanation } from '../explain.ts';
import type { Step } from '../steps.ts';
import type { Stop } from './followed.ts';

/** What `explain` foretold of a stop: that the packet comes to this rule, or into this chain; undefined when nothing. */
export function foretoldOf(stop: Stop, explanation: Explanation | undefined): Step | undefined {
  if (explanation === undefined || stop.table !== tableName) return undefined;
  const named = stop.rule && `${stop.chain} rule ${stop.rule.place}: `;
  return (
    explanation.kernel.find(({ text }) => named !== undefined && text.startsWith(named)) ??
    (isLast(stop)
      ? explanation.kernel.find(({ what, text }) => what === 'exit' && text.startsWith(`${stop.chain}: `))
      : undefined)
  );
}

/** Texts of the rules of our chains as they should be, by the names of the chains. */
export type RuleTexts = ReadonlyMap<string, readonly string[]>;

/** The rules that a pod's packets may meet. */
export async function ruleTexts(machine: Machine, record: AttachmentRecord): Promise<RuleTexts> {
  const { wanted } = await lookAt(machine, record);
  const chains = wanted.filter((object) => object.kind === 'chain');
  return new Map(chains.map(({ name, rules }) => [name, rules.map(shortened)]));
}

/** The rule in nft's words, without the bits of labels: eight numbers that tell nobody anything. */
const shortened = (rule: Rule): string => printRule(rule).replace(/(?<=\bct label (?:set )?)[\d |,/]*\d/, '…');

/** A rule that ends a chain of an exit, or gives its mark. */
const isLast = ({ verdict }: Stop): boolean => verdict !== undefined;

/** Whether what was seen is what was foretold, in a sentence. */
export function comparison(
  { left, sentence }: { readonly left: boolean; readonly sentence: string },
  explanation: Explanation | undefined,
): string | undefined {
  if (explanation === undefined) return undefined;
  const { outcome, words } = explanation;
  const told = outcome === 'leaves' || outcome === 'left alone';
  if (outcome === 'unknown') return `Explain could not tell: it ${words}`;
  if (told !== left) return `Explain foretold otherwise: it ${words}`;
  // What a chain of ours drops says nothing of the reason: explain does.
  const isSaid = left || sentence.includes(words.replace(/^is dropped: /, ''));
  return isSaid ? 'So explain foretold it' : `So explain foretold it: it ${words}`;
}
