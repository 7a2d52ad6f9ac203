import type { Change } from '../datapath/difference.ts';
import { needsEgressHook } from '../datapath/egress-counters.ts';
import { chainNames, isEntryChain } from '../datapath/layout.ts';
import { needsOfNode } from '../datapath/needs.ts';
import { type HostObject, kindOf } from '../datapath/objects.ts';
import type { NodeRecord } from '../store/record.ts';
import { change } from './change.ts';
import { differenceNow } from './difference-now.ts';
import type { Machine } from './machine.ts';
import { steeredOf } from './set-up.ts';

/**
 * Gives the whole node another mark, while packets go on. Rules for the new mark come before the one transaction, and
 * rules for the old one go after it. The node's record gets the new mark at the end. After a kill the next call begins
 * again. Does nothing when the node has the mark of `next`. Needs the store's lock.
 */
export async function remark(machine: Machine, next: NodeRecord): Promise<void> {
  const { host, store } = machine;
  const known = store.loadNode();
  if (known === undefined || known.fwmark === next.fwmark) return;
  const { unmarked: _, ...before } = known; // it is tried again
  const node = { ...before, fwmark: next.fwmark };
  const attachments = store.list().map(steeredOf);
  const needs = { ...needsOfNode(node, attachments), checked: attachments };
  if (await host.hasTable()) {
    await change(
      machine,
      () => host.observe(node, needs, { contents: false }),
      async (observed) => changesOfMarks(await differenceNow(machine, node, needs, observed)),
    );
  }
  store.saveNode({ ...(store.loadNode() ?? known), fwmark: next.fwmark });
}

/**
 * An exit or a pod without its interface gets the mark, too: objects on the interface are not asked for, but for filters,
 * which may have gone by an earlier try, and are left out where there is no interface.
 */
const isAtInterface = (object: HostObject) =>
  object.kind === 'chain' && object.hook !== undefined && 'device' in object.hook;

/** One that is missing is of a program that is not there yet. */
const isEntry = (object: HostObject) => object.kind === 'chain' && isEntryChain(object.name);

/** An element that counts with the mark in its key takes the place of the one with the old mark, where its set is there. */
const isNewCounter = (object: HostObject, newSets: ReadonlySet<string>) =>
  needsEgressHook(object) && (object.kind !== 'element' || newSets.has(object.set));

const isOfMarks = ({ verb, object }: Change, newSets: ReadonlySet<string>): boolean => {
  if (verb === 'add' && (isNewCounter(object, newSets) || isAtInterface(object) || isEntry(object))) return false;
  return kindOf(object).hasMark;
};

/**
 * The pod whose ADD this is has its record, and nothing else yet. What marks its packets comes with what judges them, behind
 * the change: alone it would have the guard drop all that the new pod sends, its reports of multicast groups among that.
 */
function changesOfMarks(changes: readonly Change[]): Change[] {
  const isNewChain = (name: string) =>
    changes.some(({ verb, object }) => verb === 'add' && object.kind === 'chain' && object.name === name);
  const isOfNewPod = ({ verb, object }: Change) =>
    verb === 'add' && object.kind === 'ingressMark' && isNewChain(chainNames.from(object.device));
  const added = changes.flatMap(({ verb, object }) => (verb === 'add' && object.kind === 'set' ? [object.name] : []));
  const newSets = new Set(added);
  return changes.filter((change) => isOfMarks(change, newSets) && !isOfNewPod(change));
}
