import { type Feature, features, type Trials } from '../../datapath/examiner.ts';
import { tunnelDevice, tunnelMac } from '../../datapath/tunnel.ts';
import { chain, rule } from '../../nftables/chain.ts';
import type { NftObject } from '../../nftables/object.ts';
import * as say from '../../nftables/statement.ts';
import { NetlinkSocket, protocols } from '../netlink/socket.ts';
import { newFlowtable } from '../nftables/flowtable.ts';
import { ourTable } from '../nftables/message.ts';
import { canHook, encodeBatch, readGeneration, runTransaction } from '../nftables/transaction.ts';
import { readTunnel, setTunnel } from '../rtnetlink/tunnel.ts';
import { openElsewhere } from './libc.ts';

/** Sockets in a network namespace of their own: with them it goes, and all that was made there. */
interface Elsewhere {
  readonly netfilter: NetlinkSocket;
  readonly route: NetlinkSocket;
}

/** Tries each feature by using it, in a new network namespace. */
export async function tryFeatures(): Promise<Trials> {
  const sockets = openSockets();
  if (sockets instanceof Error) return { untried: `no network namespace could be made (${sockets.message})` };
  try {
    const trials: { feature: Feature; problem?: string }[] = [];
    for (const feature of features) {
      const problem = await problemOf(() => attempts[feature](sockets));
      trials.push({ feature, ...(problem !== undefined && { problem }) });
    }
    return trials;
  } finally {
    sockets.netfilter.close();
    sockets.route.close();
  }
}

function openSockets(): Elsewhere | Error {
  try {
    return openElsewhere(() => ({
      netfilter: new NetlinkSocket(protocols.netfilter),
      route: new NetlinkSocket(protocols.route),
    }));
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

async function problemOf(attempt: () => Promise<string | undefined>): Promise<string | undefined> {
  try {
    return await attempt();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** What uses each feature; a text says why it does not work. */
const attempts: Readonly<Record<Feature, (sockets: Elsewhere) => Promise<string | undefined>>> = {
  nf_tables: async ({ netfilter }) => void (await readGeneration(netfilter)),
  fib: ({ netfilter }) => make(netfilter, chain('try', [rule(say.sourceIsLocal), rule(say.destinationHasRoute)])),
  intervals: ({ netfilter }) =>
    make(netfilter, { kind: 'set', name: 'try-ranges', key: ['ipv4_addr'], intervals: ['10.0.0.0/8', '192.0.2.0/24'] }),
  'egress hook': async ({ netfilter }) =>
    (await canHook(netfilter, { type: 'filter', hook: 'egress', device: 'lo', priority: 0 }))
      ? undefined
      : 'the family netdev has no hook "egress"',
  'group policy': tryGroupPolicy,
  flowtable: async ({ netfilter }) => {
    await make(netfilter);
    await netfilter.batch(encodeBatch([newFlowtable({ ...ourTable, name: 'try-flows', devices: ['lo'] })]));
    return undefined;
  },
};

async function make(netfilter: NetlinkSocket, ...objects: readonly NftObject[]): Promise<undefined> {
  const all = [{ kind: 'table' } as const, ...objects];
  await runTransaction(
    netfilter,
    all.map((object) => ({ verb: 'add', object })),
  );
}

/** The device stays down: up, it would take its port, which only one in the namespace can have. */
async function tryGroupPolicy({ route }: Elsewhere): Promise<string | undefined> {
  const local = '127.0.0.1';
  const ends = { name: tunnelDevice, vni: 1, port: 4788, local, mac: tunnelMac(local), mtu: 1450 };
  await setTunnel(route, { kind: 'tunnel', ...ends, groupPolicy: true, learning: false, up: false });
  const made = await readTunnel(route, tunnelDevice);
  return made?.groupPolicy ? undefined : 'VXLAN devices have no group policy';
}
