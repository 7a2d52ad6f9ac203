import { EgressError } from '../base/errors.ts';
import { accepted, type KubernetesApi } from '../kubernetes/client.ts';
import type { Finding } from './status.ts';

/**
 * The key of the taint that new nodes register with, so that no pod starts before the plugin is in the chain:
 * `kubelet --register-with-taints=egress.cni/not-ready=:NoSchedule`.
 */
export const startupTaint = 'egress.cni/not-ready';

interface Taint {
  readonly key: string;
}

/** The cluster that this node is in. */
export interface Cluster {
  /** `undefined` outside of a cluster, or without a token. */
  readonly api: KubernetesApi | undefined;
  /** The name of the node in Kubernetes. */
  readonly node: string | undefined;
}

/** The tools for looking after the taint. */
export interface TaintTools extends Cluster {
  /** Milliseconds of a clock that does not go back. */
  now(): number;
}

/**
 * Milliseconds until the API is asked again: after an answer, in case the node was registered anew; after a failure, the
 * first time and at the longest.
 */
const pauses = { answered: 300_000, first: 1_000, longest: 60_000 } as const;

/** The {@link startupTaint} of this node, which goes when the node is ready for pods. */
export class NodeTaint {
  readonly #tools: TaintTools;
  #failures = 0;
  #next = Number.NEGATIVE_INFINITY;
  #last: Finding = { ok: true, text: '' };

  constructor(tools: TaintTools) {
    this.#tools = tools;
  }

  /** Only for a node that is ready. Failures are reported, and hinder nothing else. */
  async look(): Promise<Finding> {
    const { api, node, now } = this.#tools;
    if (api === undefined) return left('there is no token of a service account');
    if (node === undefined) return left('the name of the node is not known');
    if (now() >= this.#next) await this.#ask(api, node);
    return { ...this.#last, lookAgainMs: Math.max(0, this.#next - now()) };
  }

  async #ask(api: KubernetesApi, node: string): Promise<void> {
    try {
      const was = await removeStartupTaint(api, node);
      this.#failures = 0;
      const text = was ? `removed ${startupTaint} from the node ${node}` : `the node ${node} has no ${startupTaint}`;
      this.#settle({ ok: true, text }, pauses.answered);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.#settle({ ok: false, text }, Math.min(pauses.first * 2 ** this.#failures++, pauses.longest));
    }
  }

  #settle(finding: Finding, pause: number): void {
    this.#last = finding;
    this.#next = this.#tools.now() + pause;
  }
}

const left = (because: string): Finding => ({ ok: true, text: `${startupTaint} is not looked after: ${because}` });

/** How often a patch is tried when somebody else changes the node between our reading and our writing. */
const attempts = 5;

/**
 * Takes {@link startupTaint} off a node, with any effect, and leaves all other taints.
 *
 * The list of taints is atomic in the API: it is written as a whole. So the patch carries the version that was read, and
 * a conflict (409) begins anew. `kubectl taint node NODE egress.cni/not-ready-` does the same.
 *
 * @returns whether it was there
 * @throws `try-again` when the API does not answer or the node changes all the time, `kubernetes-refused` for any other
 * answer than success
 */
export async function removeStartupTaint(api: KubernetesApi, node: string): Promise<boolean> {
  const path = `/api/v1/nodes/${encodeURIComponent(node)}`;
  for (let left = attempts; left > 0; left--) {
    const { taints, resourceVersion } = taintsIn(accepted(await api.get(path), `read the node ${node}`));
    const others = taints.filter(({ key }) => key !== startupTaint);
    if (others.length === taints.length) return false;
    const change = { metadata: { resourceVersion }, spec: { taints: others } };
    const reply = await api.patch(path, change);
    if (reply.status === 409) continue;
    accepted(reply, `remove the taint ${startupTaint} from the node ${node}`);
    return true;
  }
  throw new EgressError('try-again', `The node ${node} was changed by others in each of ${attempts} attempts`);
}

function taintsIn(node: unknown): { readonly taints: readonly Taint[]; readonly resourceVersion: string } {
  const { metadata, spec } = (node ?? {}) as {
    metadata?: { resourceVersion?: string };
    spec?: { taints?: readonly Taint[] };
  };
  if (metadata?.resourceVersion === undefined)
    throw new EgressError('kubernetes-refused', 'The Kubernetes API answered with something that is no node');
  return { taints: spec?.taints ?? [], resourceVersion: metadata.resourceVersion };
}
