import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runPlugin } from '../src/cni/plugin.ts';
import { tunnelDevice } from '../src/datapath/tunnel.ts';
import { LinuxHost } from '../src/kernel/linux-host.ts';
import { KernelError, type NetlinkSocket, type Reply, type Request } from '../src/kernel/netlink/socket.ts';
import { silent } from '../src/node/machine.ts';
import { Store } from '../src/store/store.ts';
import { asListed } from './as-listed.ts';

/**
 * Runs a pod's life once while the start-up snapshot is made. V8 compiles a function when it is first called. Functions
 * compiled at build time are in the snapshot, and no ADD waits for them. Nothing of the machine is touched: the kernel
 * is an {@link EchoSocket}, the state is in a folder that goes.
 */
export async function warmUp(): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'egress-warm-up-'));
  const echo = new EchoSocket(); // not longer: what it keeps would be in the snapshot
  try {
    for (const [command, pod] of life) await call(command, pod, dataDir, echo);
  } finally {
    rmSync(dataDir, { recursive: true });
  }
}

/** The second pod finds the first one's note. */
const life = [
  ...[['ADD', 2] as const, ['ADD', 3] as const, ['CHECK', 3] as const],
  ...[['ADD', 2] as const, ['CHECK', 2] as const, ['DEL', 3] as const, ['DEL', 2] as const],
];

async function call(command: string, pod: number, dataDir: string, echo: EchoSocket): Promise<void> {
  const { exitCode, stdout } = await runPlugin({
    variables: { CNI_COMMAND: command, CNI_CONTAINERID: `warm${pod}`, CNI_NETNS: '/none', CNI_IFNAME: 'eth0' },
    readStdin: () => JSON.stringify({ ...configuration, dataDir, prevResult: prevResult(pod) }),
    readFile: () => undefined,
    identify: () => undefined,
    askLabels: () => Promise.reject(new Error('nobody is asked')),
    openMachine: async () => ({
      host: new LinuxHost(() => echo as unknown as NetlinkSocket),
      store: new Store(dataDir, { lockFile: unlocked, warn: () => {} }),
      log: silent,
      build: () => 'warm',
      [Symbol.dispose]: () => {},
    }),
  });
  // CHECK of an echo is not expected to pass: it has no counts, no names and no protocol numbers of a kernel.
  if (exitCode !== 0 && command !== 'CHECK')
    throw new Error(`${command} failed while the snapshot was made: ${stdout}`);
}

/** Nobody else knows the folder. */
const unlocked = async (fd: number) => ({ isWanted: false, [Symbol.dispose]: () => closeSync(fd) });

const configuration = {
  cniVersion: '1.0.0',
  name: 'warm',
  type: 'egress',
  clusterCIDRs: ['10.0.0.0/16', 'fd00:10::/48'],
  exits: [
    {
      name: 'exit',
      id: 7,
      interface: 'eth1',
      nextHop: ['192.0.2.1', '2001:db8::1'],
      addresses: ['192.0.2.7', '2001:db8::7'],
    },
    { name: 'gateway', id: 8, gateways: ['192.0.2.3', '192.0.2.4'], addresses: ['192.0.2.8', '2001:db8::8'] },
  ],
  nodes: [{ address: '192.0.2.3' }, { address: '192.0.2.4' }, { address: '192.0.2.5' }],
  policies: [
    {
      name: 'policy',
      namespaces: ['*'],
      destinations: ['203.0.113.0/24', '2001:db8:1::/48'],
      except: ['203.0.113.9/32'],
      exit: 'exit',
    },
    { name: 'far', namespaces: ['*'], destinations: ['198.51.100.0/24', '2001:db8:2::/48'], exit: 'gateway' },
    { name: 'rest', namespaces: ['*'], exit: 'drop', priority: -1 },
  ],
};

const prevResult = (pod: number) => ({
  cniVersion: '1.0.0',
  interfaces: [{ name: 'veth0' }, { name: 'eth0', sandbox: '/none' }],
  ips: [
    { address: `10.0.0.${pod}/24`, interface: 1 },
    { address: `fd00:10::${pod}/64`, interface: 1 },
  ],
});

/** Types of questions, and of the messages whose bodies answer them: nf_tables, then rtnetlink. */
const answers = new Map([
  ...[1, 4, 7, 10, 13].map((get) => [0xa00 | get, 0xa00 | (get - 1)] as const),
  ...[18, 22, 26, 30, 34].map((get) => [get, get - 2] as const),
]);
/** NFT_MSG_NEWRULE of NFNL_SUBSYS_NFTABLES. */
const newRule = 0xa06;
const newLink = 16;
const getLink = 18;
const getAddress = 22;
const getRoute = 26;
const getGeneration = 0xa10;
const ENODEV = 19;

/**
 * A kernel that keeps the messages it gets, and answers questions with the same bytes. It is no kernel of tests: these
 * stand in for the host, and would leave our codecs and sockets uncompiled.
 */
class EchoSocket implements Pick<NetlinkSocket, keyof NetlinkSocket> {
  readonly #messages = new Map<number, Buffer[]>();
  #generation = 1;
  readonly namespace = '01';

  async request(request: Request): Promise<Reply[]> {
    const { type } = request;
    if (type === getGeneration)
      return [reply(type, `000000000800010${this.#generation.toString(16).padStart(9, '0')}`)];
    // The first that is said of the tunnel's device makes it. The begin of a batch has the same type.
    const device = this.#messages.get(newLink)?.find((body) => body.includes(tunnelDevice));
    if (type === getLink && request.body.includes(tunnelDevice)) {
      if (device === undefined) throw new KernelError(ENODEV, 0, '');
      return [{ type, flags: 0, body: device }];
    }
    // A link that is up, with index 1, a name and an MTU; a route that leads to it.
    if (type === getLink)
      return [reply(type, '00000000010000000100000000000000' + '090003006574683100000000' + '08000400dc050000')];
    if (type === getRoute) return [reply(type, '022000000000000100000000' + '0800040001000000')];
    return this.dump(request);
  }

  async dump({ type, body }: Request): Promise<Reply[]> {
    // An address of that link: 192.0.2.5/24.
    if (type === getAddress) return [reply(type, '0218000001000000' + '08000200c0000205')];
    const kept = answers.get(type);
    if (kept !== undefined) return (this.#messages.get(kept) ?? []).map((body) => ({ type: kept, flags: 0, body }));
    this.#messages.set(type, [...(this.#messages.get(type) ?? []), type === newRule ? asListed(body) : body]);
    return [];
  }

  async batch(requests: readonly Request[]): Promise<Reply[]> {
    for (const request of requests) await this.dump(request);
    this.#generation++;
    return [];
  }

  async each(requests: readonly Request[]): Promise<undefined[]> {
    for (const request of requests) await this.dump(request);
    return requests.map(() => undefined);
  }

  /** Elements with the key that is asked for, which is the last of the question. */
  async answers(requests: readonly Request[]): Promise<Reply[][]> {
    const isAbout = ({ body }: Request, answer: Reply) => answer.body.includes(body.subarray(-4));
    return Promise.all(
      requests.map(async (request) => (await this.dump(request)).filter((answer) => isAbout(request, answer))),
    );
  }

  close(): void {}
}

const reply = (type: number, hex: string): Reply => ({ type, flags: 0, body: Buffer.from(hex, 'hex') });
