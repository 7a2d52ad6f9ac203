import { parseAllDocuments } from 'yaml';
import { lineOf } from '../../../src/config/problem.ts';
import { importDocuments } from '../../../src/import/import.ts';
import type { ImportOptions } from '../../../src/import/options.ts';

/** What a person adds for exits with gateways. */
export const asked: ImportOptions = {
  gateways: ['172.18.0.3'],
  nodes: [],
  nodeRanges: ['172.18.0.0/24'],
  addresses: [],
  nextHops: [],
  clusterCIDRs: ['10.0.0.0/16', '10.96.0.0/12'],
};

/** The same in a cluster, where plugins are told labels, and nodes are known. */
export const inCluster: ImportOptions = {
  ...asked,
  known: { gatewaysOf: () => ['172.18.0.3'], anyGateway: 'any node', prefix: 'cilium.' },
};

/** What no document says: nothing. */
export const nothing: ImportOptions = {
  gateways: [],
  nodes: [],
  nodeRanges: [],
  addresses: [],
  nextHops: [],
  clusterCIDRs: [],
};

/** What becomes of a file `k8s.yaml` with this text, with what is said as lines. */
export function imported(text: string, options: ImportOptions = asked) {
  const documents = parseAllDocuments(text).map((each, i) => ({
    file: 'k8s.yaml',
    position: i + 1,
    value: each.toJS() as unknown,
  }));
  const { document, warnings, errors } = importDocuments(documents, options);
  return { document, warnings: warnings.map(lineOf), errors: errors.map(lineOf) };
}

/** The same of values instead of a text. */
export const importedValues = (values: readonly unknown[], options: ImportOptions = asked) =>
  importDocuments(
    values.map((value, i) => ({ file: 'k8s.json', position: i + 1, value })),
    options,
  );

/** A policy of Cilium with this spec, but for what every one needs. */
export const gatewayPolicy = (name: string, spec: object): object => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumEgressGatewayPolicy',
  metadata: { name },
  spec: {
    destinationCIDRs: ['0.0.0.0/0'],
    selectors: [{ podSelector: {} }],
    egressGateway: { nodeSelector: { matchLabels: { egress: 'true' } }, egressIP: '192.168.60.100' },
    ...spec,
  },
});
