/** The API group of our kinds. */
export const group = 'egress.cni';

/** The version of our kinds that is written and read. */
export const version = 'v1alpha1';

/** What is read of a cluster. */
export type Resource = 'nodes' | 'namespaces' | 'pods' | 'egressexits' | 'egresspolicies';

/** Where the API server has each list. */
export const paths: Readonly<Record<Resource, string>> = {
  nodes: '/api/v1/nodes',
  namespaces: '/api/v1/namespaces',
  pods: '/api/v1/pods',
  egressexits: `/apis/${group}/${version}/egressexits`,
  egresspolicies: `/apis/${group}/${version}/egresspolicies`,
};
