import { savedWarning } from '../saved-ruleset.ts';
import type { Facts } from './facts.ts';
import { fault, ok, orOk, type Seen, warning } from './finding.ts';

/** Plugins that put pods on a network past the host’s routing. */
const bypassing: readonly string[] = ['macvlan', 'ipvlan', 'host-device', 'vlan'];

/** The networks that runtimes know, with egress at its place in the chain; the runtimes. */
export function chain(facts: Facts): readonly Seen[] {
  const { chains, pods, system } = facts;
  const own = chains.filter(({ types }) => types.includes('egress'));
  const runtimes = system.findRuntimes().map(({ name, version }) => `${name} ${version ?? '(version unknown)'}`);
  const by = runtimes.length > 0 ? runtimes.join(', ') : 'no container runtime is seen from here';
  if (own.length === 0) return [notInChain(chains.length, pods.length), ok(by)];
  return [...first(chains), ...own.map((each) => judge(facts, each)), ok(by)];
}

/** Runtimes give pods the network whose file comes first, unless they are told of more. */
function first([chain]: Facts['chains']): readonly Seen[] {
  if (chain === undefined || chain.types.includes('egress')) return [];
  return [
    warning(
      `network "${chain.name}" comes first in the folder, with the chain ${chain.types.join(' → ')}: where the runtime takes the first, new pods are not steered`,
      'egress install puts egress there; or take the file of that network away, if nobody needs it',
    ),
  ];
}

function notInChain(chains: number, pods: number): Seen {
  const what = chains === 0 ? 'there is no network configuration' : `egress is in none of ${chains} networks`;
  const remedy =
    'egress install puts it there; look for whoever rewrites the folder (with Cilium, set cni.exclusive to false)';
  return pods > 0 ? fault(`${what}: new pods are not steered`, remedy) : warning(`${what}: no pod is steered`, remedy);
}

function judge({ system, binDir }: Facts, { name, types }: Facts['chains'][number]): Seen {
  const order = `network "${name}": ${types.map((type) => withVersion(type, system.versionOfPlugin(`${binDir}/${type}`))).join(' → ')}`;
  const [primary = ''] = types;
  if (primary === 'egress') {
    return fault(
      `${order}: no plugin before egress makes an interface`,
      'put egress at the end of the list of plugins',
    );
  }
  if (bypassing.includes(primary)) {
    return fault(
      `${order}: pods of ${primary} are not routed through this host`,
      'use a plugin that routes pods through the host: bridge with isGateway, or ptp',
    );
  }
  return ok(order);
}

const withVersion = (type: string, version: string | undefined): string => (version ? `${type} ${version}` : type);

/** Files that hold our tables, and are loaded at boot. */
export const savedRulesets = ({ saved }: Facts): readonly Seen[] =>
  orOk(
    saved.map((path) =>
      warning(savedWarning(path), `save all tables but ours: conf/limits.md has the command for ${path}`),
    ),
    'no saved ruleset holds our tables',
  );

/** Who mends what others break. */
export function agent({ machine, system }: Facts): readonly Seen[] {
  const { store } = machine;
  const record = store.agent.load();
  const start = 'systemctl start egress-agent (conf/egress-agent.service), or egress agent';
  if (!system.isClaimed(store.agent.lock)) {
    if (record === undefined) return [ok('none runs: nothing is mended by itself')];
    return [warning(`none runs; one looked last at ${record.lookedAt}`, start)];
  }
  const failures = record?.failures ?? [];
  return orOk(
    failures.map((what) =>
      warning(`it fails at: ${what}`, 'mend that, as the other lines say; the agent tries again by itself'),
    ),
    `runs, and looked last at ${record?.lookedAt ?? 'an unknown time'}`,
  );
}
