import type { Policy } from '../policy/policy.ts';
import { selectorText } from '../policy/selector.ts';
import { podName } from './asked-pod.ts';
import { fewLines, keys, type MapMaker, rateLines } from './map-maker.ts';
import type { StatusDocument } from './status-schema.ts';

type Pod = StatusDocument['pods'][number] & { readonly node: string };

/** Lines of a box of pods at most. */
const most = 8;

/** `web-2` comes before `web-10`. */
const { compare: inOrder } = new Intl.Collator('en', { numeric: true });

/** Pods in boxes by namespace and policies, each line a pod. */
export function addPods(maker: MapMaker, statuses: readonly StatusDocument[]): void {
  const pods = statuses.flatMap(({ node, pods }) => pods.map((pod): Pod => ({ ...pod, node })));
  const groups = Map.groupBy(pods, ({ pod: { namespace = '' }, policies }) =>
    JSON.stringify([namespace, policies.map(({ name }) => name)]),
  );
  for (const [group, members] of [...groups].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const namespace = members[0]?.pod.namespace ?? 'without a namespace';
    const count = members.length === 1 ? '' : ` (${members.length} pods)`;
    const lines = members.map((pod) => podLine(pod, statuses.length > 1)).sort(inOrder);
    maker.box(0, keys.pods(namespace, group), {
      title: `${namespace}${count}`,
      lines: [...fewLines(lines, most), ...rateLines(members)],
    });
  }
  if (pods.length === 0) maker.box(0, 'no pods', { title: 'No pod has a policy', lines: [] });
}

function podLine(pod: Pod, hasNodes: boolean): string {
  const name = pod.pod.name ?? podName({ ...pod, pod: {} });
  return [name, pod.addresses[0] ?? '', ...(hasNodes ? [`on ${pod.node}`] : [])].join('  ');
}

/** Policies that pods have, and those that are configured, with the ways to their exits. */
export function addPolicies(maker: MapMaker, statuses: readonly StatusDocument[], configured: readonly Policy[]): void {
  for (const policy of configured) maker.box(1, keys.policy(policy.name), { title: policy.name, lines: terms(policy) });
  for (const { namespace = 'without a namespace', policies, group } of statuses.flatMap(groupsIn)) {
    for (const { name } of policies) {
      maker.box(1, keys.policy(name), { title: name, lines: [] });
      maker.edge(keys.pods(namespace, group), keys.policy(name));
    }
  }
}

const groupsIn = ({ pods }: StatusDocument) =>
  pods.map(({ pod: { namespace }, policies }) => ({
    ...(namespace !== undefined && { namespace }),
    policies,
    group: JSON.stringify([namespace ?? '', policies.map(({ name }) => name)]),
  }));

/** What a policy is for, in a few lines. */
function terms({ namespaces, podSelector, namespaceSelector, destinations, except, ports }: Policy): string[] {
  return [
    `namespaces ${list(namespaces)}`,
    ...(namespaceSelector ? [`with ${selectorText(namespaceSelector)}`] : []),
    ...(podSelector ? [`pods with ${selectorText(podSelector)}`] : []),
    `to ${list(destinations)}`,
    ...(except.length > 0 ? [`but ${list(except)}`] : []),
    ...(ports && ports.length > 0 ? [`ports ${list(ports)}`] : []),
  ];
}

const list = (items: readonly string[]): string =>
  items.length > 2 ? `${items.slice(0, 2).join(', ')} +${items.length - 2}` : items.join(', ');
