import assert from 'node:assert/strict';
import { allOf4, allOf6, holds, numberOf, type Range, rangeOf, sixes, textOf } from './by-hand-ranges.ts';
import type { Input } from './malformed.ts';

// What the author of an input wrote, read in the plainest way: nothing here is imported from the program. Whoever breaks
// a rule gets an assertion error, so an input that was accepted and cannot be read here was accepted wrongly.

/** A packet of the pod. */
export interface Sample {
  readonly destination: string;
  readonly protocol?: 'icmp' | 'tcp' | 'udp' | 'sctp';
  readonly port?: number;
}

interface WrittenPolicy {
  readonly name: string;
  readonly namespaces: readonly string[];
  readonly pods: readonly string[];
  readonly destinations: readonly Range[];
  readonly except: readonly Range[];
  readonly ports: readonly string[] | undefined;
  readonly exit: string;
  readonly priority: number;
  readonly optIn: boolean;
}

/** What was written. */
export interface Written {
  readonly namespace: string;
  readonly name: string;
  readonly cluster: readonly Range[];
  readonly policies: readonly WrittenPolicy[];
  /** Names of policies that the pod asks for. */
  readonly named: readonly string[];
  readonly wish: WrittenPolicy | undefined;
}

type Json = Readonly<Record<string, unknown>>;

/** The meaning of an input that was accepted. */
export function read({ stdin, policyFile, variables }: Input): Written {
  const entry = objectOf(JSON.parse(stdin));
  const file = policyFile === undefined ? {} : objectOf(JSON.parse(policyFile.replace('\uFEFF', '')));
  onlyKeys(entry, [...entryKeys, ...documentKeys], (key) => key.startsWith('cni.dev/'));
  onlyKeys(file, ['$schema', ...documentKeys]);
  const documents = [entry, file];
  const exits = documents.flatMap((document) => listOf(document.exits).map(objectOf));
  for (const exit of exits) onlyKeys(exit, exitKeys);
  const [namespace, name] = ['K8S_POD_NAMESPACE', 'K8S_POD_NAME'].map((key) => argument(variables.CNI_ARGS ?? '', key));
  const policies = documents.flatMap((document) => listOf(document.policies).map(policyOf));
  const annotations = annotationsOf(entry);
  const pod = { namespace: namespace ?? '', name: name ?? '' };
  return {
    ...pod,
    cluster: [...clusterOf(documents, exits), ...subnetsOf(entry)],
    policies,
    named: namedOf(annotations, policies, pod),
    wish: wishOf(annotations, exits, pod.namespace),
  };
}

/** The name of the exit that a packet of the pod, or of one in another namespace, takes; `node` when nothing is said of it. */
export function exitOf(
  { cluster, policies, named, wish, ...own }: Written,
  { destination, ...packet }: Sample,
  pod = own,
): string {
  const at = numberOf(destination);
  if (cluster.some((range) => holds(range, at))) return 'node';
  const candidates = policies
    .filter((policy) => isFor(policy, pod) && (!policy.optIn || named.includes(policy.name)))
    .flatMap((policy) => policy.destinations.map((range) => ({ policy, range })))
    .filter(({ range }) => at < sixes === range.last < sixes)
    .sort(
      (a, b) =>
        b.policy.priority - a.policy.priority ||
        b.range.length - a.range.length ||
        (a.policy.name < b.policy.name ? -1 : 1),
    );
  // Behind what is dropped and what has a higher priority than 0, before all the rest.
  const place = candidates.findLastIndex(({ policy }) => policy.exit === 'drop' || policy.priority > 0) + 1;
  candidates.splice(place, 0, ...(wish?.destinations ?? []).map((range) => ({ policy: wish as WrittenPolicy, range })));
  const takes = ({ policy, range }: (typeof candidates)[number]) =>
    holds(range, at) &&
    !policy.except.some((excepted) => holds(excepted, at)) &&
    (policy.ports === undefined || policy.ports.some((port) => portHolds(port, packet)));
  return candidates.find(takes)?.policy.exit ?? 'node';
}

/** All ranges and ports that were written. */
export const rangesOf = ({ policies, wish, cluster }: Written): Range[] =>
  [...policies, ...(wish ? [wish] : [])]
    .flatMap(({ destinations, except }) => [...destinations, ...except])
    .concat(cluster);
export const portsOf = ({ policies, wish }: Written): string[] =>
  [...policies, ...(wish ? [wish] : [])].flatMap(({ ports }) => ports ?? []);

const entryKeys = [
  'type',
  'name',
  'cniVersion',
  'capabilities',
  'runtimeConfig',
  'args',
  'prevResult',
  'policyFile',
  'node',
  'dataDir',
  'logFile',
  'logLevel',
];
const documentKeys = ['clusterCIDRs', 'nodes', 'tunnel', 'fwmark', 'routeTable', 'rulePriority', 'exits', 'policies'];
const exitKeys = [
  'name',
  'id',
  'gateways',
  'interface',
  'nextHop',
  'onlink',
  'addresses',
  'addressesOn',
  'addressPerFlow',
  'fastPath',
  'portsPerPod',
  'portBlocksPerNamespace',
  'annotationNamespaces',
  'onUnavailable',
];
const policyKeys = ['name', 'namespaces', 'pods', 'destinations', 'except', 'ports', 'exit', 'priority', 'optIn'];

function policyOf(value: unknown): WrittenPolicy {
  const policy = objectOf(value);
  onlyKeys(policy, policyKeys);
  const { priority = 0, optIn = false } = policy;
  assert.ok(Number.isInteger(priority) && typeof optIn === 'boolean', 'a priority and optIn are a number and a truth');
  return {
    name: textOf(policy.name),
    namespaces: filled(policy.namespaces).map(globOf),
    pods: 'pods' in policy ? filled(policy.pods).map(globOf) : ['*'],
    destinations: 'destinations' in policy ? filled(policy.destinations).map(rangeOf) : [allOf4, allOf6],
    except: listOf(policy.except).map(rangeOf),
    ports: 'ports' in policy ? filled(policy.ports).map(portOf) : undefined,
    exit: textOf(policy.exit),
    priority: priority as number,
    optIn,
  };
}

function clusterOf(documents: readonly Json[], exits: readonly Json[]): Range[] {
  const nodes = documents.flatMap((document) => listOf(document.nodes).map(objectOf));
  return [
    ...['169.254.0.0/16', 'fe80::/10'].map(rangeOf),
    ...documents.flatMap((document) => listOf(document.clusterCIDRs).map(rangeOf)),
    ...nodes.flatMap(({ address, podCIDRs }) => [address, ...listOf(podCIDRs)].map(rangeOf)),
    ...exits.flatMap(({ gateways }) => listOf(gateways).map(rangeOf)),
  ];
}

/** Networks of addresses that are the pod's. Keys may have capitals, as some programs write them. */
function subnetsOf({ prevResult }: Json): Range[] {
  const lower = (value: unknown) =>
    Object.fromEntries(Object.entries(objectOf(value)).map(([key, own]) => [key.toLowerCase(), own]));
  const result = lower(prevResult);
  const interfaces = listOf(result.interfaces).map(lower);
  const own = listOf(result.ips)
    .map(lower)
    .filter(({ interface: index }) => {
      if (index === undefined || index === null) return true;
      assert.equal(typeof index, 'number', 'an index is a number');
      const owner = interfaces[index as number];
      return owner !== undefined && owner.name === 'eth0' && Boolean(owner.sandbox);
    });
  return own.map(({ address }) => {
    assert.match(textOf(address), /\/\d+$/, 'an address of a pod has a length');
    return rangeOf(address);
  });
}

/** The annotations for us. A runtime may leave them out or pass null. */
function annotationsOf({ runtimeConfig }: Json): Json {
  const all = objectOf(objectOf(runtimeConfig ?? {})['io.kubernetes.cri.pod-annotations'] ?? {});
  const own = Object.entries(all).filter(([key]) => key.startsWith('egress.cni/'));
  const found = Object.fromEntries(own.map(([key, value]) => [key.slice('egress.cni/'.length), value]));
  onlyKeys(found, ['policy', 'exit', 'destinations', 'except', 'ports']);
  return found;
}

function namedOf(
  { policy }: Json,
  policies: readonly WrittenPolicy[],
  pod: { namespace: string; name: string },
): string[] {
  const names = policy === undefined ? [] : itemsOf(policy);
  for (const name of names)
    assert.ok(
      policies.some((each) => each.name === name && isFor(each, pod)),
      `${name} is for the pod`,
    );
  return names;
}

function wishOf(annotations: Json, exits: readonly Json[], namespace: string): WrittenPolicy | undefined {
  const { exit, destinations, except, ports } = annotations;
  if (exit === undefined) {
    assert.ok(
      [destinations, except, ports].every((each) => each === undefined),
      'parts of a wish have an exit',
    );
    return undefined;
  }
  const [name, ...more] = itemsOf(exit);
  assert.deepEqual(more, [], 'a pod asks for one exit');
  const open = exits.find((each) => each.name === name)?.annotationNamespaces;
  assert.ok(
    name === 'drop' || listOf(open).some((glob) => fits(globOf(glob), namespace)),
    'the exit is open to the pod',
  );
  return {
    ...{ name: 'wish', namespaces: ['*'], pods: ['*'], exit: name ?? '', priority: 0, optIn: false },
    destinations: destinations === undefined ? [allOf4, allOf6] : itemsOf(destinations).map(rangeOf),
    except: except === undefined ? [] : itemsOf(except).map(rangeOf),
    ports: ports === undefined ? undefined : itemsOf(ports).map(portOf),
  };
}

function itemsOf(value: unknown): string[] {
  const items = textOf(value)
    .split(',')
    .map((item) => item.trim());
  assert.ok(!items.includes('') && items.length <= 256, 'no item is empty');
  return items;
}

/** The last value of a key, as every reader of CNI_ARGS has it. */
const argument = (args: string, key: string): string | undefined =>
  args
    .split(';')
    .filter((pair) => pair.startsWith(`${key}=`))
    .at(-1)
    ?.slice(key.length + 1);

function objectOf(value: unknown): Json {
  assert.ok(value !== null && typeof value === 'object' && !Array.isArray(value), 'an object is expected');
  return value as Json;
}

function onlyKeys(object: Json, known: readonly string[], isOther = (_key: string) => false): void {
  for (const key of Object.keys(object))
    assert.ok(known.includes(key) || isOther(key), `${key} is a key that is known`);
}

/** Absent is empty; anything else is a list. */
function listOf(value: unknown = []): unknown[] {
  assert.ok(Array.isArray(value), 'a list is expected');
  return value;
}

function filled(value: unknown): unknown[] {
  assert.ok(Array.isArray(value) && value.length > 0, 'a list with something in it is expected');
  return value;
}

function globOf(value: unknown): string {
  assert.match(textOf(value), /^[a-z0-9.*?-]+$/, 'a glob is expected');
  return value as string;
}

const isFor = (
  { namespaces, pods }: WrittenPolicy,
  { namespace, name }: { namespace: string; name: string },
): boolean => namespaces.some((glob) => fits(glob, namespace)) && pods.some((glob) => fits(glob, name));

/** As a pattern: fine here, where nobody is hurt by what takes minutes. */
const fits = (glob: string, text: string): boolean =>
  new RegExp(`^${glob.replaceAll('.', '\\.').replace(/\*+/g, '[^]*').replaceAll('?', '[^]')}$`).test(text);

function portOf(value: unknown): string {
  const [, protocol, first = '1', last = first] =
    /^(icmp|tcp|udp|sctp)(?::(\d+)(?:-(\d+))?)?$/.exec(textOf(value)) ?? assert.fail(`${value} is no port`);
  const inRange = Number(first) >= 1 && Number(first) <= Number(last) && Number(last) <= 65535;
  assert.ok(inRange && (protocol !== 'icmp' || value === 'icmp'), `${value} is no port`);
  return value as string;
}

function portHolds(text: string, { protocol, port }: Omit<Sample, 'destination'>): boolean {
  const [named, range] = text.split(':');
  if (named !== protocol) return false;
  if (range === undefined) return true;
  const [first = 0, last = first] = range.split('-').map(Number);
  return port !== undefined && first <= port && port <= last;
}
