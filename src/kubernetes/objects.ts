import { type Address, parseAddress } from '../base/address.ts';
import type { Labels } from '../policy/selector.ts';
import type { KubernetesObject } from './mirror.ts';

/** What is needed of a Node object. */
export interface ClusterNode {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** InternalIPs, canonical, in the order of the object; the first is the node's underlay address. */
  readonly addresses: readonly Address[];
  readonly podCIDRs: readonly string[];
  /** Kubernetes calls it Ready. */
  readonly ready: boolean;
}

/** What is needed of one of our objects. */
export interface EgressObject {
  readonly name: string;
  /** Of a kind that is in namespaces. */
  readonly namespace?: string;
  readonly uid?: string;
  readonly generation: number;
  /** When it was made: of two that contradict each other the older one stays. RFC 3339. */
  readonly created: string;
  readonly spec: unknown;
  readonly status: unknown;
}

/** All that is read of a cluster. */
export interface ClusterObjects {
  readonly nodes: readonly ClusterNode[];
  readonly exits: readonly EgressObject[];
  readonly policies: readonly EgressObject[];
  /** Policies that owners of namespaces have for their own pods. */
  readonly tenants?: readonly EgressObject[];
  /** Objects of others that say how pods leave. */
  readonly others?: readonly OthersObject[];
}

/** An object of Cilium, or a Service with kube-vip's annotation. */
export interface OthersObject {
  readonly of: 'cilium' | 'kubeVip';
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly created: string;
  /** As much of it as says something of how pods leave. */
  readonly value: object;
}

interface NodeParts {
  readonly spec?: { readonly podCIDR?: string; readonly podCIDRs?: readonly string[] };
  readonly status?: {
    readonly addresses?: readonly { readonly type: string; readonly address: string }[];
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

/** A Node object (Kubernetes: core/v1), as far as it is needed. */
export function nodeOf(object: KubernetesObject): ClusterNode {
  const { spec = {}, status = {} } = object as NodeParts;
  const internal = (status.addresses ?? []).filter(({ type }) => type === 'InternalIP');
  return {
    name: object.metadata.name,
    labels: object.metadata.labels ?? {},
    addresses: internal.flatMap(({ address }) => parseAddress(address) ?? []),
    podCIDRs: spec.podCIDRs ?? (spec.podCIDR === undefined ? [] : [spec.podCIDR]),
    ready: (status.conditions ?? []).some(({ type, status: is }) => type === 'Ready' && is === 'True'),
  };
}

/** One of our objects, as far as it is needed. */
export const egressObjectOf = ({ metadata, spec, status }: KubernetesObject): EgressObject => ({
  name: metadata.name,
  ...(metadata.namespace !== undefined && { namespace: metadata.namespace }),
  ...(metadata.uid !== undefined && { uid: metadata.uid }),
  generation: metadata.generation ?? 0,
  created: metadata.creationTimestamp ?? '',
  ...{ spec, status },
});

/** What is kept of a pod. */
export interface LabelledPod {
  readonly uid?: string;
  /** The kubelet's own UID of a static pod, which runtimes are told: the object in the API is a mirror of it with another one. */
  readonly staticUid?: string;
  readonly labels: Labels;
}

/** The annotation of a mirror pod with the UID of its static pod (Kubernetes, pkg/kubelet/types: ConfigHashAnnotationKey). */
const staticUidAnnotation = 'kubernetes.io/config.hash';

export function labelledPodOf({ metadata }: KubernetesObject): LabelledPod {
  const { uid, labels = {}, annotations } = metadata;
  const staticUid = annotations?.[staticUidAnnotation];
  return { ...(uid !== undefined && { uid }), ...(staticUid !== undefined && { staticUid }), labels };
}

/** Whether it is the pod that a runtime names by this UID, and not an earlier one of the same name. A runtime may tell none. */
export const isPod = ({ uid, staticUid }: LabelledPod, asked: string | undefined): boolean =>
  asked === undefined || asked === uid || asked === staticUid;

/** An object of Cilium's as it stands in a list, which says the kind once for all. */
export const ciliumObjectOf =
  (apiVersion: string, kind: string) =>
  ({ metadata, spec }: KubernetesObject): OthersObject =>
    othersObject('cilium', { apiVersion, kind }, metadata, { spec });

/** The annotations of Services that kube-vip and we read. */
const kubeVip = 'kube-vip.io/';

/** A Service that asks kube-vip for its address as the one that its pods leave with; `undefined` for all others. */
export function kubeVipServiceOf({ metadata, spec, status }: KubernetesObject): OthersObject | undefined {
  const all = Object.entries(metadata.annotations ?? {});
  const annotations = Object.fromEntries(all.filter(([key]) => key.startsWith(kubeVip)));
  if (annotations[`${kubeVip}egress`] !== 'true') return undefined;
  return othersObject('kubeVip', { apiVersion: 'v1', kind: 'Service' }, metadata, { annotations, spec, status });
}

function othersObject(
  of: OthersObject['of'],
  type: { readonly apiVersion: string; readonly kind: string },
  { name, namespace, uid, creationTimestamp = '' }: KubernetesObject['metadata'],
  { annotations, ...parts }: { readonly annotations?: object; readonly spec?: unknown; readonly status?: unknown },
): OthersObject {
  const named = { name, ...(namespace !== undefined && { namespace }) };
  return {
    ...{ of, ...type, ...named, created: creationTimestamp },
    ...(uid !== undefined && { uid }),
    value: { ...type, metadata: { ...named, ...(annotations && { annotations }) }, ...parts },
  };
}
