/** The API group of our kinds. */
export const group = 'egress.cni';

/** The version of our kinds that is written and read. */
export const version = 'v1alpha1';

/** What is read of a cluster. */
export type Resource =
  | 'nodes'
  | 'namespaces'
  | 'pods'
  | 'services'
  | 'egressexits'
  | 'egresspolicies'
  | 'namespacedegresspolicies'
  | 'ciliumegressgatewaypolicies'
  | 'ciliumegressnatpolicies';

/** Where the API server has each list. */
export const paths: Readonly<Record<Resource, string>> = {
  nodes: '/api/v1/nodes',
  namespaces: '/api/v1/namespaces',
  pods: '/api/v1/pods',
  services: '/api/v1/services',
  egressexits: `/apis/${group}/${version}/egressexits`,
  egresspolicies: `/apis/${group}/${version}/egresspolicies`,
  namespacedegresspolicies: `/apis/${group}/${version}/namespacedegresspolicies`,
  ciliumegressgatewaypolicies: '/apis/cilium.io/v2/ciliumegressgatewaypolicies',
  ciliumegressnatpolicies: '/apis/cilium.io/v2alpha1/ciliumegressnatpolicies',
};

/** Kinds that need not be defined, since they are others' or younger than the first ones, and where the API server would have their definitions. */
export const definitions: Partial<Readonly<Record<Resource, string>>> = {
  namespacedegresspolicies: definitionAt('namespacedegresspolicies.egress.cni'),
  ciliumegressgatewaypolicies: definitionAt('ciliumegressgatewaypolicies.cilium.io'),
  ciliumegressnatpolicies: definitionAt('ciliumegressnatpolicies.cilium.io'),
};

function definitionAt(name: string): string {
  return `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`;
}

/** Kinds of ours. */
export type ObjectKind = 'EgressExit' | 'EgressPolicy' | 'NamespacedEgressPolicy';

/** Where the API server has the status of an object of ours. */
export function statusPath(kind: ObjectKind, name: string, namespace?: string): string {
  if (kind === 'EgressExit') return `${paths.egressexits}/${name}/status`;
  if (kind === 'EgressPolicy') return `${paths.egresspolicies}/${name}/status`;
  return `/apis/${group}/${version}/namespaces/${namespace}/namespacedegresspolicies/${name}/status`;
}
