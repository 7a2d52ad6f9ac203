import { routeText, ruleText } from '../../datapath/routing-words.ts';
import { tablesOfNode } from '../../datapath/tables.ts';
import type { Machine } from '../../node/machine.ts';
import type { AttachmentRecord } from '../../store/record.ts';
import { checkAll } from '../check.ts';
import { readStatus } from '../status.ts';
import type { Examined } from './doctor.ts';

/** One thing in a bundle for a report of a fault. */
export interface BundlePart {
  readonly name: string;
  /** What it is, for whoever decides whether it may be sent. */
  readonly what: string;
  readonly content: unknown;
}

/** What is in none of the parts, since it may be a secret, or is nobody's business. */
export const leftOut = 'annotations of pods, rules of others, the environment, and the content of any other file';

/** All that a bundle holds. A part that cannot be made says why. */
export async function bundleOf(
  version: string,
  machine: Machine,
  { findings, facts }: Examined,
): Promise<BundlePart[]> {
  const { system, examiner, node, pods, networks, chains } = facts;
  return [
    part('version', 'versions of egress and of the kernel', {
      egress: version,
      kernel: system.kernel,
      glibc: system.glibc,
    }),
    part('findings', 'what doctor found', findings),
    await asked('status', 'exits, pods and their counters, as egress status --json', async () => {
      const { pods: all, ...status } = await readStatus(machine);
      return { ...status, pods: all.map(withoutAnnotations) };
    }),
    await asked('check', 'missing and different objects, as egress check --json', () => checkAll(machine)),
    part('node', 'the record of this node: numbers, exits, tunnel', node ?? null),
    part('pods', 'the records of pods: names, addresses, matches of their policies', pods.map(withoutAnnotations)),
    part('networks', 'networks with egress: exits, policies and ranges as they are configured', networks),
    part('chains', 'types of the plugins in each network', chains),
    await asked('rules', 'all policy rules (ip rule)', async () => (await machine.host.listRules()).map(ruleText)),
    await asked('routes', 'routes in the tables of exits', () => routes(machine)),
    await asked('others', 'chains of others in nftables: names, hooks, priorities, how many rules', async () =>
      (await examiner.listForeignChains()).map(({ rules, ...chain }) => ({ ...chain, rules: rules.length })),
    ),
  ];
}

const part = (name: string, what: string, content: unknown): BundlePart => ({ name, what, content });

async function asked(name: string, what: string, ask: () => Promise<unknown>): Promise<BundlePart> {
  try {
    return part(name, what, await ask());
  } catch (error) {
    return part(name, what, { unknown: error instanceof Error ? error.message : String(error) });
  }
}

/** Of a record, or of a pod's status. */
function withoutAnnotations<T extends Pick<AttachmentRecord, 'pod'>>({ pod, ...record }: T) {
  const { annotations: _, ...named } = pod;
  return { ...record, pod: named };
}

async function routes({ host, store }: Machine): Promise<string[]> {
  const node = store.loadNode();
  const found: string[] = [];
  for (const { families, table } of node ? tablesOfNode(node) : []) {
    for (const family of families) found.push(...(await host.listRoutes(family, table)).map(routeText));
  }
  return found;
}
