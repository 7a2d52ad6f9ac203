import { type Notice, noticesOfOthers, regardingNode, regardingPod } from '../kubernetes/events.ts';
import type { ClusterObjects } from '../kubernetes/objects.ts';
import { writesFor } from '../kubernetes/status.ts';
import type { Translation } from '../kubernetes/translate.ts';
import type { Pod } from '../policy/match.ts';
import type { PodLabels } from '../policy/selector.ts';
import { podName } from '../report/asked-pod.ts';
import type { LabelSource } from './label-answers.ts';
import type { Round } from './round.ts';

/**
 * What came of a round that owners of its pods and of the node should know, and did not before. It is told when the next round
 * finds it, too: labels that are about to be known are no news.
 */
export class RoundNotices {
  #before: ReadonlySet<string> = new Set();
  #told: ReadonlySet<string> = new Set();

  /** @param node this node's name in Kubernetes */
  of({ failures, refused }: Pick<Round, 'failures' | 'refused'>, node: string): Notice[] {
    const ofPods = refused.map(({ pod, containerId, problem }) => ({
      words: `pod ${podName({ pod, containerId })}: ${problem}`,
      notice: outdated(pod, problem),
    }));
    const words = new Set(ofPods.map((each) => each.words));
    const ofNode = failures
      .filter((failure) => !words.has(failure))
      .map((failure) => ({ words: failure, notice: failing(node, failure) }));
    const all = [...ofPods, ...ofNode];
    const lasting = all.filter((each) => this.#before.has(each.words));
    const fresh = lasting.filter((each) => !this.#told.has(each.words));
    this.#before = new Set(all.map((each) => each.words));
    this.#told = new Set(lasting.map((each) => each.words));
    return fresh.flatMap(({ notice }) => notice ?? []);
  }
}

function outdated(pod: Pod, problem: string | undefined): Notice | undefined {
  const regarding = regardingPod(pod);
  if (regarding === undefined) return undefined;
  const note = `The pod cannot have what the policies say now: ${problem ?? ''}`;
  return { regarding, type: 'Warning', reason: 'Outdated', action: 'Adopt', note };
}

const failing = (node: string, failure: string): Notice => ({
  ...{ regarding: regardingNode(node), type: 'Warning', reason: 'EgressFailing', action: 'Look', note: failure },
});

/** What is to be told of objects of others, by this node: the first of the ready ones. */
export class OthersNotices {
  #before: ReadonlySet<string> = new Set();

  of(
    { translation, objects }: { readonly translation: Translation; readonly objects: ClusterObjects },
    node: string,
  ): Notice[] {
    if (!writesFor(node, [], objects.nodes)) return [];
    const all = (objects.others ?? []).flatMap((object) => {
      const called = object.namespace === undefined ? object.name : `${object.namespace}/${object.name}`;
      const verdict = translation.verdicts.find(({ kind, name }) => kind === object.kind && name === called);
      return verdict === undefined ? [] : noticesOfOthers(object, verdict);
    });
    const fresh = all.filter((notice) => !this.#before.has(JSON.stringify(notice)));
    this.#before = new Set(all.map((notice) => JSON.stringify(notice)));
    return fresh;
  }
}

/** Labels as a source tells them, with a notice for each pod that could not start without. */
export const tellingUnknown = (source: LabelSource, tell: (notices: readonly Notice[]) => void): LabelSource => ({
  labelsOf: (pod) => source.labelsOf(pod),
  ask: async (pod): Promise<PodLabels> => {
    try {
      return await source.ask(pod);
    } catch (error) {
      const regarding = regardingPod(pod);
      const why = error instanceof Error ? error.message : String(error);
      if (regarding !== undefined) tell([{ regarding, ...notStarted(why) }]);
      throw error;
    }
  },
});

const notStarted = (why: string): Omit<Notice, 'regarding'> => ({
  ...{ type: 'Warning', reason: 'LabelsUnknown', action: 'Add' },
  note: `The pod does not start: policies choose by labels, and those of the pod are not known: ${why}`,
});
