import type { Problem } from '../config/problem.ts';
import { judgePolicy } from '../config/read.ts';
import type { PolicyDocument } from '../config/schema.ts';
import { warningsOf } from '../config/warnings.ts';
import { readGatewayPolicy, readNatPolicy } from './cilium.ts';
import { type Draft, hashed, type Reading, type ReadingContext, skipped } from './draft.ts';
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
  const { drafts, exits, warnings: found, errors: wrong } = draftsOf(documents, options);
  if (wrong.length === 0 && drafts.length === 0) wrong.push(result('', 'there is nothing to import'));
  wrong.push(...exits.errors, ...missing(exits, options));
  if (wrong.length > 0) return { warnings: found, errors: wrong };
  const warnings = [...found, ...exits.warnings, ...(options.clusterCIDRs.length > 0 ? [] : [noClusterRanges])];
  return judged(documentOf(drafts, exits, options), warnings);
}

/** What a document of a cluster comes to. */
export interface ImportedObject {
  /** Of these documents together the objects of a cluster are one. */
  readonly document: Pick<PolicyDocument, 'exits' | 'policies'>;
  /** What cannot be, with pointers into the object: packets of its policies are dropped, as far as it is known whose they are. */
  readonly problems: readonly Problem[];
  /** What has no counterpart. */
  readonly notes: readonly Problem[];
}

/**
 * The same of objects in a cluster, where one that is wrong keeps no other from anything.
 *
 * @returns by what messages call each document (`file kind namespace/name`)
 */
export function importObjects(
  documents: readonly Parsed[],
  options: ImportOptions,
): ReadonlyMap<string, ImportedObject> {
  const { manifests, drafts, exits, warnings, errors } = draftsOf(documents, options);
  const used = new Set<string>();
  const objectOf = (source: string): ImportedObject => {
    const own = drafts.filter((draft) => draft.source === source);
    const policies = own.map((draft) =>
      policyOf(draft, exits.lacking.has(draft) ? 'drop' : (exits.nameOf.get(draft) ?? 'node')),
    );
    const first = policies.map(({ exit }) => exit).filter((exit) => !used.has(exit));
    for (const exit of first) used.add(exit);
    const of = (problems: readonly Problem[]) => problems.filter((problem) => problem.source === source);
    return {
      document: { exits: exits.exits.filter(({ name }) => first.includes(name)), policies },
      problems: [...of(errors), ...own.flatMap((draft) => (exits.lacking.has(draft) ? exits.whyLacking(draft) : []))],
      notes: of([...warnings, ...exits.warnings]),
    };
  };
  return new Map(manifests.map(({ source }) => [source, objectOf(source)]));
}

interface Drafts {
  readonly manifests: readonly Manifest[];
  readonly drafts: readonly Draft[];
  readonly exits: Exits;
  readonly warnings: readonly Problem[];
  readonly errors: Problem[];
}

function draftsOf(documents: readonly Parsed[], options: ImportOptions): Drafts {
  const { manifests, errors } = manifestsOf(documents);
  const { known } = options;
  const context: ReadingContext = { prefix: known?.prefix ?? '', knowsLabels: known !== undefined };
  const readings = manifests.map((manifest) => read(manifest, context));
  const table = inOneTable(readings.flatMap((reading) => reading.drafts));
  const named = withOwnNames(table.drafts);
  const drafts = named.map(({ draft }) => draft);
  const warnings = [
    ...readings.flatMap((reading) => reading.warnings),
    ...table.warnings,
    ...named.flatMap((each) => each.warnings),
  ];
  const wrong = [...errors, ...readings.flatMap((reading) => reading.errors)];
  return { manifests, drafts, exits: exitsOf(drafts, options), warnings, errors: wrong };
}

const result = (pointer: string, message: string): Problem => ({ source: 'result', pointer, message });

const noClusterRanges = result(
  '/clusterCIDRs',
  'missing: packets to pods and services are steered, too, where destinations hold them; give their ranges with --cluster-cidr',
);

/** The reader of each kind, for all versions of its group. */
const readers: Readonly<Record<string, (manifest: Manifest, context: ReadingContext) => Reading>> = {
  'cilium.io CiliumEgressGatewayPolicy': readGatewayPolicy,
  'cilium.io CiliumEgressNATPolicy': readNatPolicy,
  ' Service': readService,
};

function read(manifest: Manifest, context: ReadingContext): Reading {
  const { apiVersion, kind, source } = manifest;
  const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
  const reader = readers[`${group} ${kind}`];
  return reader ? reader(manifest, context) : skipped(source, `nothing to import in ${apiVersion} ${kind}`);
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

const policyOf = (draft: Draft, exit: string) => {
  const { name, namespaces, podSelector, namespaceSelector, destinations, except, ports, optIn } = draft;
  return {
    name,
    namespaces: [...namespaces],
    ...(podSelector && { podSelector }),
    ...(namespaceSelector && { namespaceSelector }),
    destinations: [...destinations],
    ...(except.length > 0 && { except: [...except] }),
    ...(ports && { ports: [...ports] }),
    exit,
    ...(optIn && { optIn }),
  };
};

/** The policy file with the warnings of `egress validate`. */
function judged(document: PolicyDocument, warnings: readonly Problem[]): Imported {
  const verdict = judgePolicy('result', document, []);
  if ('problems' in verdict) return { warnings, errors: verdict.problems };
  // That ranges of the cluster are missing is told already, by the option that they are given with.
  const more = warningsOf('result', document).filter(({ pointer }) => pointer !== '/clusterCIDRs');
  return { document, warnings: [...warnings, ...more], errors: [] };
}
