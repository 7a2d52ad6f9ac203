import { parseAllDocuments } from 'yaml';

/** A kind of Cilium (1.10 to 1.18), as far as an API server needs it to take objects. */
export const ciliumKind = (kind: string, version: string) => {
  const plural = `${kind.toLowerCase().replace(/y$/, '')}ies`;
  const spec = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const schema = { openAPIV3Schema: { type: 'object', properties: { spec } } };
  return {
    ...{ apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition' },
    metadata: { name: `${plural}.cilium.io` },
    spec: {
      ...{ group: 'cilium.io', scope: 'Cluster' },
      names: { kind, listKind: `${kind}List`, plural, singular: kind.toLowerCase() },
      versions: [{ name: version, served: true, storage: true, schema }],
    },
  };
};

/** The objects of a manifest. */
export const objectsIn = (manifest: string): object[] => parseAllDocuments(manifest).map((each) => each.toJS());
