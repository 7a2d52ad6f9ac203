import * as z from 'zod/mini';
import { type Address, type Family, familyOf } from '../base/address.ts';
import { judge } from '../config/judge.ts';
import { type Problem, pointerOf } from '../config/problem.ts';
import { address, interfaceName } from '../config/value.ts';
import {
  askedFor,
  type ExitDraft,
  fitName,
  labelsUnknown,
  namePods,
  type Reading,
  type ReadingContext,
  skipped,
} from './draft.ts';
import { serviceLabels } from './known-labels.ts';
import { allowedIn, deniedIn, type List, portsIn } from './kube-vip-lists.ts';
import type { Manifest } from './manifest.ts';

const texts = z.record(z.string(), z.string('a text'), 'texts');

/** The members of a Service that matter to us. */
const service = z.object({
  metadata: z.object({ annotations: z.optional(texts) }),
  spec: z.optional(z.object({ selector: z.optional(texts), loadBalancerIP: z.optional(z.string('a text')) })),
  status: z.optional(
    z.object({
      loadBalancer: z.optional(
        z.object({ ingress: z.optional(z.array(z.object({ ip: z.optional(z.string('a text')) }), 'a list')) }),
      ),
    }),
  ),
});

type Service = z.infer<typeof service>;
type Annotations = Readonly<Record<string, string>>;

const prefixOfKeys = 'kube-vip.io/';
const egress = `${prefixOfKeys}egress`;

/** Annotations that are read, say nothing about packets, or are written by kube-vip itself. */
const understood = ['destination-ports', 'allowed-networks', 'denied-networks', 'ipv6', 'internal', 'nftables-table'];

/** Annotations without counterpart, with a way around. */
const unlike = new Map([
  ['source-ports', 'policies do not look at source ports: it is left out'],
  ['no-internal-traffic', 'ranges of the cluster are the same for all policies: give them with --cluster-cidr'],
  ['detect-api-server', 'no API server is looked for: add its address to "clusterCIDRs", or to "except" of the policy'],
]);

/** `v1`, Service: one that kube-vip gives its pods' packets the address of. */
export function readService(manifest: Manifest, context: ReadingContext): Reading {
  const judged = judge(service, manifest.value, manifest.source);
  if ('problems' in judged) return { drafts: [], warnings: [], errors: judged.problems };
  const annotations = judged.value.metadata.annotations ?? {};
  if (annotations[egress] !== 'true') {
    return skipped(manifest.source, `a Service without the annotation ${egress}: "true"`);
  }
  return readEgress(manifest, judged.value, annotations, context);
}

function readEgress(
  { source, identity, name, namespace }: Manifest,
  value: Service,
  annotations: Annotations,
  { prefix, knowsLabels }: ReadingContext,
): Reading {
  // A manifest without namespace is applied to the one of the kubeconfig, for most people this one.
  const placed = namespace ?? 'default';
  const policy = fitName(`${prefix}${placed}.${name}`);
  const family = annotations[`${egress}-ipv6`] === 'true' ? 6 : 4;
  const text = (key: string) => annotations[`${egress}-${key}`];
  const portsAsked = portsIn(text('destination-ports'));
  const ports = listOf('destination-ports', portsAsked);
  const allowed = allowedIn(text('allowed-networks'), family, portsAsked.areAsked);
  const destinations = listOf('allowed-networks', allowed);
  const except = listOf('denied-networks', deniedIn(text('denied-networks'), family));
  const exit = exitOf(value, annotations, family);
  const parts: Part<unknown>[] = [destinations, except, ports, exit];
  const at = (found: readonly Found[]): Problem[] => found.map((each) => ({ source, ...each }));
  const idle = [...ports.idle, ...destinations.idle, ...except.idle];
  if (idle.length > 0) return { drafts: [], warnings: at(idle), errors: [] };
  const podSelector = knowsLabels ? selectorOf(value) : undefined;
  const draft = {
    source,
    identity,
    name: policy,
    namespaces: [placed],
    destinations: destinations.value,
    except: except.value,
    ...(ports.value.length > 0 && { ports: ports.value }),
    ...(podSelector && { podSelector }),
    optIn: podSelector === undefined,
    exit: exit.value,
  };
  const aboutPods = [
    ...(namespace === undefined ? [noNamespace] : []),
    ...(podSelector === undefined ? [ownPods(value, policy)] : []),
  ];
  return {
    drafts: [draft],
    warnings: at([...aboutPods, ...parts.flatMap(({ warnings = [] }) => warnings), ...strangers(annotations)]),
    errors: at(parts.flatMap(({ errors = [] }) => errors)),
  };
}

type Found = Omit<Problem, 'source'>;

/** A part of the Service in our words. */
interface Part<T> {
  readonly value: T;
  readonly warnings?: readonly Found[];
  readonly errors?: readonly Found[];
}

const noNamespace: Found = {
  pointer: '/metadata/namespace',
  message: 'missing: the namespace is taken to be "default"',
};

/** The pods of a Service by their labels; `undefined` when it does not say which they are, or no labels can be like that. */
function selectorOf({ spec }: Service) {
  const { podSelector, unknowable, isIdle } = serviceLabels(spec?.selector ?? {});
  return unknowable.length > 0 || isIdle ? undefined : podSelector;
}

function ownPods({ spec }: Service, policy: string): Found {
  const labels = Object.entries(spec?.selector ?? {}).map(([key, value]) => `${key}=${value}`);
  const why =
    labels.length > 0
      ? `labels of pods (${labels.join(', ')}) have no counterpart, ${labelsUnknown}`
      : 'which pods a Service without selector is for is not known';
  return { pointer: '/spec/selector', message: `${why}: ${askedFor(policy)}; ${namePods}` };
}

/** Annotations about egress that nothing here reads. */
const strangers = (annotations: Annotations): Found[] =>
  Object.keys(annotations).flatMap((key) => {
    const [name] = key.startsWith(`${egress}-`) ? [key.slice(egress.length + 1)] : [];
    if (name === undefined || understood.includes(name)) return [];
    return [{ pointer: placeOf(key), message: unlike.get(name) ?? 'an unknown annotation: it is left out' }];
  });

const placeOf = (key: string): string => pointerOf(['metadata', 'annotations', key]);

const items = (text = ''): string[] =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');

/** The values of an annotation about egress, with warnings and their places. */
function listOf<T>(
  name: string,
  { values, remarks, noRule }: List<T>,
): Part<readonly T[]> & { readonly idle: Found[] } {
  const pointer = placeOf(`${egress}-${name}`);
  const idle = noRule === undefined ? [] : [{ pointer, message: `${noRule}: the Service is left out` }];
  return { value: values, warnings: remarks.map((message) => ({ pointer, message })), idle };
}

function exitOf(value: Service, annotations: Annotations, family: Family): Part<ExitDraft> {
  const { addresses, pointer, errors } = addressesOf(value, annotations);
  const own = addresses.filter((each) => familyOf(each) === family);
  const wrong = addresses.length > 0 && own.length === 0 ? [{ pointer, message: wrongFamily(addresses, family) }] : [];
  const name = interfaceOf(annotations);
  const vlan = `${prefixOfKeys}serviceVLAN`;
  return {
    value: { pointer, addresses: own, ...(name.value !== undefined && { interface: name.value }) },
    errors: [...errors, ...wrong, ...(name.errors ?? [])],
    warnings: vlan in annotations ? [{ pointer: placeOf(vlan), message: noVlan }] : [],
  };
}

const noVlan = 'interfaces of VLANs are not made: make it on each node, and name it with --interface';

/** `auto` is the interface whose network holds the address. */
function interfaceOf(annotations: Annotations): Part<string | undefined> {
  const key = `${prefixOfKeys}serviceInterface`;
  const name = annotations[key];
  if (name === undefined || name === 'auto') return { value: undefined };
  const judged = judge(interfaceName, name, '');
  if ('value' in judged) return judged;
  return { value: undefined, errors: judged.problems.map(({ message }) => ({ pointer: placeOf(key), message })) };
}

const wrongFamily = (addresses: readonly Address[], family: Family): string =>
  `expected an IPv${family} address, got ${addresses.join(', ')}: kube-vip steers IPv6 with ${egress}-ipv6: "true", else IPv4`;

interface Addresses {
  readonly addresses: readonly Address[];
  readonly pointer: string;
  readonly errors: readonly Found[];
}

/** The addresses that the Service asks for, or else its status has. */
function addressesOf({ spec, status }: Service, annotations: Annotations): Addresses {
  const key = `${prefixOfKeys}loadbalancerIPs`;
  const places = [
    { pointer: placeOf(key), texts: items(annotations[key]) },
    { pointer: '/spec/loadBalancerIP', texts: items(spec?.loadBalancerIP) },
    {
      pointer: '/status/loadBalancer/ingress',
      texts: status?.loadBalancer?.ingress?.flatMap(({ ip }) => ip ?? []) ?? [],
    },
  ];
  const asked = places.map((place) => ({ ...place, texts: place.texts.filter((text) => !byDhcp.includes(text)) }));
  const { pointer, texts } = asked.find(({ texts }) => texts.length > 0) ?? { pointer: '', texts: [] };
  const judged = judge(z.array(address), texts, '');
  if ('value' in judged) return { addresses: [...new Set(judged.value)], pointer, errors: [] };
  return { addresses: [], pointer, errors: judged.problems.map(({ message }) => ({ pointer, message })) };
}

/** How a Service asks kube-vip to get its address by DHCP. */
const byDhcp = ['0.0.0.0', '::'];
