import type { Problem } from '../config/problem.ts';
import { judgePolicy } from '../config/read.ts';
import type { PolicyDocument } from '../config/schema.ts';
import { warningsOf } from '../config/warnings.ts';
import { readGatewayPolicy, readNatPolicy } from './cilium.ts';
import { type Draft, hashed, type Reading, skipped } from './draft.ts';
import { type Exits, exitsOf } from './exits.ts';
import { readService } from './kube-vip.ts';
import { inOneTable } from './longest-prefix.ts';
import { type Manifest, manifestsOf, type Parsed } from './manifest.ts';
import type { ImportOptions } from './options.ts';

/** What became of the documents. */
export interface Imported {
  /** Unless there are errors. */
  readonly document?: PolicyDocument;
  /** Settings without counterpart, with a way around. */
  readonly warnings: readonly Problem[];
  readonly errors: readonly Problem[];
}

/** A policy file with the meaning of other programs' policies. It never selects more pods than they do. */
export function importDocuments(documents: readonly Parsed[], options: ImportOptions): Imported {
  const { manifests, errors } = manifestsOf(documents);
  const readings = manifests.map(read);
  const table = inOneTable(readings.flatMap((reading) => reading.drafts));
  const drafts = withOwnNames(table.drafts);
  const exits = exitsOf(
    drafts.map(({ draft }) => draft),
    options,
  );
  const found = [
    ...readings.flatMap(({ warnings }) => warnings),
    ...table.warnings,
    ...drafts.flatMap(({ warnings }) => warnings),
  ];
  const wrong = [...errors, ...readings.flatMap((reading) => reading.errors)];
  if (wrong.length === 0 && drafts.length === 0) wrong.push(result('', 'there is nothing to import'));
  wrong.push(...exits.errors, ...missing(exits, options));
  if (wrong.length > 0) return { warnings: found, errors: wrong };
  const warnings = [...found, ...exits.warnings, ...(options.clusterCIDRs.length > 0 ? [] : [noClusterRanges])];
  return judged(
    documentOf(
      drafts.map(({ draft }) => draft),
      exits,
      options,
    ),
    warnings,
  );
}

const result = (pointer: string, message: string): Problem => ({ source: 'result', pointer, message });

const noClusterRanges = result(
  '/clusterCIDRs',
  'missing: packets to pods and services are steered, too, where destinations hold them; give their ranges with --cluster-cidr',
);

/** The reader of each kind, for all versions of its group. */
const readers: Readonly<Record<string, (manifest: Manifest) => Reading>> = {
  'cilium.io CiliumEgressGatewayPolicy': readGatewayPolicy,
  'cilium.io CiliumEgressNATPolicy': readNatPolicy,
  ' Service': readService,
};

function read(manifest: Manifest): Reading {
  const { apiVersion, kind, source } = manifest;
  const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
  const reader = readers[`${group} ${kind}`];
  return reader ? reader(manifest) : skipped(source, `nothing to import in ${apiVersion} ${kind}`);
}

interface Named {
  readonly draft: Draft;
  readonly warnings: readonly Problem[];
}

/** Kinds and namespaces keep names apart in Kubernetes; here a later draft gets a hash. */
function withOwnNames(drafts: readonly Draft[]): Named[] {
  const taken = new Set<string>();
  return drafts.map((draft) => {
    const name = taken.has(draft.name) ? hashed(draft.name, draft.identity) : draft.name;
    taken.add(name);
    if (name === draft.name) return { draft, warnings: [] };
    const message = `policy "${draft.name}" is called "${name}", since another one has the name`;
    return { draft: { ...draft, name }, warnings: [{ source: draft.source, pointer: '/metadata/name', message }] };
  });
}

/** No policy of another program says who may send to gateways. */
function missing({ exits }: Exits, { nodes, nodeRanges }: ImportOptions): Problem[] {
  if (nodes.length + nodeRanges.length > 0 || exits.every(({ gateways }) => gateways === undefined)) return [];
  const message =
    'gateways take packets of known nodes only: give the underlay addresses of all nodes, or their ranges, with --node';
  return [result('/nodes', message)];
}

function documentOf(drafts: readonly Draft[], { exits, nameOf }: Exits, options: ImportOptions): PolicyDocument {
  const { clusterCIDRs, nodes, nodeRanges } = options;
  return {
    ...(clusterCIDRs.length > 0 && { clusterCIDRs: [...clusterCIDRs] }),
    ...(nodes.length > 0 && { nodes: nodes.map((address) => ({ address })) }),
    ...(nodeRanges.length > 0 && { tunnel: { allowedSources: [...nodeRanges] } }),
    exits: [...exits],
    policies: drafts.map((draft) => policyOf(draft, nameOf.get(draft) ?? 'node')),
  };
}

const policyOf = ({ name, namespaces, destinations, except, ports, optIn }: Draft, exit: string) => ({
  name,
  namespaces: [...namespaces],
  destinations: [...destinations],
  ...(except.length > 0 && { except: [...except] }),
  ...(ports && { ports: [...ports] }),
  exit,
  ...(optIn && { optIn }),
});

/** The policy file with the warnings of `egress validate`. */
function judged(document: PolicyDocument, warnings: readonly Problem[]): Imported {
  const verdict = judgePolicy('result', document, []);
  if ('problems' in verdict) return { warnings, errors: verdict.problems };
  // That ranges of the cluster are missing is told already, by the option that they are given with.
  const more = warningsOf('result', document).filter(({ pointer }) => pointer !== '/clusterCIDRs');
  return { document, warnings: [...warnings, ...more], errors: [] };
}
