import * as z from 'zod/mini';
import { toSelector } from '../config/configuration.ts';
import { judge } from '../config/judge.ts';
import type { Judged, Problem } from '../config/problem.ts';
import { address, interfaceName, prefix } from '../config/value.ts';
import { type Pods, podRule, podRuleWithoutNodes, podsOf, refusedRule } from './cilium-pods.ts';
import { type Draft, type ExitDraft, fitName, type Reading, type ReadingContext } from './draft.ts';
import type { Manifest } from './manifest.ts';
import { labelSelector, selected } from './selector.ts';
import { unknownKeys } from './unknown-keys.ts';

const ranges = 'a list of address ranges';

const gateway = z.object(
  {
    nodeSelector: z.optional(labelSelector),
    // Cilium takes what is empty as absent.
    interface: z.optional(z.union([interfaceName, z.literal('', 'an interface name')])),
    egressIP: z.optional(z.union([address, z.literal('', 'an IP address')])),
  },
  'an object',
);

/** Spec of a CiliumEgressGatewayPolicy (cilium.io/v2). */
const gatewayPolicy = z.object(
  {
    selectors: z.array(podRule, 'a list of selectors'),
    destinationCIDRs: z.array(prefix, ranges),
    excludedCIDRs: z.optional(z.array(prefix, ranges)),
    egressGateway: z.optional(gateway),
    egressGateways: z.optional(z.array(gateway, 'a list of gateways')),
  },
  'an object',
);

/** Spec of a CiliumEgressNATPolicy (cilium.io/v2alpha1), which was there before. */
const natPolicy = z.object(
  {
    egress: z.array(podRuleWithoutNodes, 'a list of selectors'),
    destinationCIDRs: z.array(prefix, ranges),
    egressSourceIP: address,
  },
  'an object',
);

type Spec = z.infer<typeof gatewayPolicy>;
type Gateway = z.infer<typeof gateway>;

/** `cilium.io/v2`, CiliumEgressGatewayPolicy. */
export function readGatewayPolicy(manifest: Manifest, context: ReadingContext): Reading {
  const spec = specOf(gatewayPolicy, manifest);
  if ('problems' in spec) return { drafts: [], warnings: [], errors: spec.problems };
  const { selectors, egressGateways = [], egressGateway } = spec.value;
  const unknown = unknownIn(gatewayPolicy, manifest);
  const several = egressGateways.length > 0;
  const gateways = several ? egressGateways : [egressGateway ?? {}];
  const place = several ? '/spec/egressGateways' : '/spec/egressGateway';
  const refusal =
    refusalOfRules(manifest, selectors, '/spec/selectors') ?? refusalOfGateways(manifest, gateways, place);
  if (refusal) return { drafts: [], warnings: [...unknown, refusal], errors: [] };
  const exit = exitOf(gateways, place);
  const pods = podsOf(manifest, { rules: selectors, pointer: '/spec/selectors' }, unknown, context);
  const overruled = several && egressGateway ? [overruling(manifest)] : [];
  const ofGateways = [...overruled, ...gatewayWarnings(manifest, gateways, place)];
  const warnings = [...unknown, ...pods.warnings, ...ofGateways, ...switchedOff(manifest, spec.value)];
  return { drafts: draftsOf(manifest, spec.value, pods, exit, context), warnings, errors: [] };
}

/** `cilium.io/v2alpha1`, CiliumEgressNATPolicy. */
export function readNatPolicy(manifest: Manifest, context: ReadingContext): Reading {
  const spec = specOf(natPolicy, manifest);
  if ('problems' in spec) return { drafts: [], warnings: [], errors: spec.problems };
  const { egress, egressSourceIP } = spec.value;
  const unknown = unknownIn(natPolicy, manifest);
  const refusal = refusalOfRules(manifest, egress, '/spec/egress');
  if (refusal) return { drafts: [], warnings: [...unknown, refusal], errors: [] };
  const exit = { pointer: '/spec/egressSourceIP', from: 'the node that has the address', addresses: [egressSourceIP] };
  const pods = podsOf(manifest, { rules: egress, pointer: '/spec/egress' }, unknown, context);
  const warnings = [...unknown, ...pods.warnings, ...switchedOff(manifest, spec.value)];
  return { drafts: draftsOf(manifest, spec.value, pods, exit, context), warnings, errors: [] };
}

/** Refused documents have no effect in Cilium, and get none here. */
function refusalOfRules({ source }: Manifest, rules: Spec['selectors'], pointer: string): Problem | undefined {
  const place = refusedRule(rules);
  const message = 'Cilium refuses a policy with a selector of neither pods nor namespaces: the policy is left out';
  return place === undefined ? undefined : { source, pointer: `${pointer}/${place}`, message };
}

function refusalOfGateways({ source }: Manifest, gateways: readonly Gateway[], pointer: string): Problem | undefined {
  const message =
    'Cilium refuses a policy with both "interface" and "egressIP": the policy is left out; keep one of them to have it';
  return gateways.some((each) => each.interface && each.egressIP) ? { source, pointer, message } : undefined;
}

const switchedOff = ({ source }: Manifest, { destinationCIDRs }: Pick<Spec, 'destinationCIDRs'>): Problem[] =>
  destinationCIDRs.length > 0
    ? []
    : [{ source, pointer: '/spec/destinationCIDRs', message: 'an empty list switches the policy off: it is left out' }];

const rawSpec = ({ value }: Manifest): unknown => ('spec' in value ? value.spec : undefined);

function specOf<T>(schema: z.ZodMiniType<T>, manifest: Manifest): Judged<T> {
  const judged = judge(schema, rawSpec(manifest), manifest.source);
  if ('value' in judged) return judged;
  return { problems: judged.problems.map((problem) => ({ ...problem, pointer: `/spec${problem.pointer}` })) };
}

const unknownIn = (schema: z.core.$ZodType, manifest: Manifest): Problem[] =>
  unknownKeys(schema, rawSpec(manifest)).map(({ pointer, message }) => ({
    source: manifest.source,
    pointer: `/spec${pointer}`,
    message: `${message}; it is left out`,
  }));

const overruling = ({ source }: Manifest): Problem => ({
  source,
  pointer: '/spec/egressGateway',
  message: 'Cilium does not look at it beside "egressGateways": it is left out',
});

function exitOf(gateways: readonly Gateway[], pointer: string): ExitDraft {
  const [name] = gateways.flatMap((each) => each.interface || []);
  return {
    pointer,
    from: gateways.map(nodesOf).join('; '),
    nodes: gateways.map(({ nodeSelector }) => nodeSelector && ownSelector(nodeSelector)),
    addresses: [...new Set(gateways.flatMap(({ egressIP }) => egressIP || []))],
    ...(name !== undefined && { interface: name }),
  };
}

/** Any fits as Kubernetes says: what no label of a node can be is not looked for. */
const ownSelector = (selector: NonNullable<Gateway['nodeSelector']>) => ({
  matchExpressions: toSelector(selector).map(({ key, operator, values }) => ({ key, operator, values: [...values] })),
});

const nodesOf = ({ nodeSelector }: Gateway): string =>
  selected(nodeSelector, () => false)
    .unknowable.toSorted()
    .join(', ') || 'any node';

/**
 * Settings of gateways without counterpart in an exit. That it does not know their labels is told where exits are made.
 */
function gatewayWarnings({ source }: Manifest, gateways: readonly Gateway[], pointer: string): Problem[] {
  const interfaces = new Set(gateways.map((each) => each.interface || undefined));
  const withAddress = gateways.filter(({ egressIP }) => egressIP);
  const messages = [
    interfaces.size > 1 &&
      'different interfaces of gateways have no counterpart: the exit has the first; for the others, make exits and policies of their own',
    withAddress.length > 0 &&
      withAddress.length < gateways.length &&
      'the addresses of gateways without "egressIP" are not known: pods leave with those of the others; add them to the "addresses" of the exit',
  ];
  return messages.flatMap((message) => (message === false ? [] : [{ source, pointer, message }]));
}

function draftsOf(
  { source, identity, name }: Manifest,
  { destinationCIDRs, excludedCIDRs = [] }: Pick<Spec, 'destinationCIDRs' | 'excludedCIDRs'>,
  { all, labelled, asking, askingName }: Pods,
  exit: ExitDraft,
  { prefix }: ReadingContext,
): Draft[] {
  const ranges = { destinations: destinationCIDRs, except: excludedCIDRs, inTable: true as const };
  const same = { source, identity, ...ranges, exit };
  const drafts = [
    { ...same, name: fitName(`${prefix}${name}`), namespaces: all, optIn: false },
    ...labelled.map((pods, i) => {
      const place = i + (all.length > 0 ? 2 : 1);
      return { ...same, ...pods, name: fitName(`${prefix}${name}${place > 1 ? `-${place}` : ''}`), optIn: false };
    }),
    { ...same, name: askingName, namespaces: asking, optIn: true },
  ];
  return drafts.filter(({ namespaces }) => namespaces.length > 0);
}
