import { closeSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { familyOf } from '../../../src/base/address.ts';
import { type Configuration, configurationOf } from '../../../src/config/configuration.ts';
import type { ChainEntry, PolicyDocument } from '../../../src/config/schema.ts';
import { keyOf } from '../../../src/datapath/difference.ts';
import type { Counters, LinkAddress } from '../../../src/datapath/host.ts';
import { reversePathName } from '../../../src/datapath/reverse-path.ts';
import type { LockFile } from '../../../src/files/file.ts';
import { type AddRequest, add } from '../../../src/node/add.ts';
import type { Machine } from '../../../src/node/machine.ts';
import { policiesOf } from '../../../src/sources/policies.ts';
import { Store } from '../../../src/store/store.ts';
import { FakeHost } from './fake-host.ts';

/** A machine whose kernel is in memory and whose store is a folder of its own. */
export interface FakeMachine extends Machine, Disposable {
  readonly host: FakeHost;
  readonly dataDir: string;
  /** What the store and the log warned of. */
  readonly warnings: string[];
}

const none = { packets: 0n, bytes: 0n };

/** What a table has counted that nothing went through. */
export const noCounters: Counters = {
  ...{ steered: new Map(), served: new Map(), left: new Map(), pods: new Map() },
  ...{ dropped: none, guarded: none, unmarked: none, forged: none, unserved: none, strangers: none },
};

/** The host's end of a pod's interface. */
export const hostEnd = (containerId: string): string => (containerId === 'a' ? 'veth1' : `veth-${containerId}`);

/** Pods that have one. */
const containers = ['a', 'b', 'c', 'd', 'c0', 'c1', 'c2', 'c3', 'dead', 'a1b2c3d4', 'a1b2c3ff'];

/** A node with two uplinks and the host's ends of some pods, all of which filter strictly. */
export function newMachine(t: TestContext): FakeMachine {
  const dataDir = mkdtempSync(join(tmpdir(), 'egress-machine-'));
  t.after(() => rmSync(dataDir, { recursive: true }));
  const host = new FakeHost();
  const names = ['eth1', 'eth2', 'veth1', 'veth2', ...containers.map(hostEnd).slice(1)];
  for (const [i, name] of names.entries()) {
    const type = name.startsWith('veth') ? { type: 'veth' } : {};
    host.links.set(name, { index: i + 2, name, up: true, mtu: 1500, ...type });
    host.kernel.sysctls.set(reversePathName(name), '1');
  }
  host.kernel.sysctls.set(reversePathName('all'), '0');
  host.linkAddresses.set('eth1', [held('192.168.0.245', 32)]);
  host.linkAddresses.set('eth2', [held('172.19.0.5', 32), held('fd00:19::5', 128)]);
  const warnings: string[] = [];
  const warn = (message: string) => warnings.push(message);
  return {
    host,
    dataDir,
    warnings,
    build: () => 'this',
    store: new Store(dataDir, { lockFile: newLocks(), warn }),
    log: { debug: () => {}, info: () => {}, warn: (_fields, message) => warn(message) },
    [Symbol.dispose]: () => {},
  };
}

/** Locks of files among those who use one machine, in their order. The kernel's have pauses, which no test's clock turns. */
function newLocks(): LockFile {
  const ends = new Map<string, Promise<void>>();
  return async (descriptor, path) => {
    const before = ends.get(path);
    const { promise, resolve } = Promise.withResolvers<void>();
    ends.set(path, promise);
    await before;
    const release = () => {
      closeSync(descriptor);
      resolve();
    };
    return { isWanted: false, [Symbol.dispose]: release };
  };
}

/** Everything that a call can leave: in the kernel, and in the store (but for its lock, and what is a note of the kernel). */
export function stateOf({ host, dataDir }: FakeMachine) {
  // What is at a pod's interface goes with it, and here no interface ever goes.
  const kept = host.kernel.contents().filter(({ kind }) => kind !== 'ingressMark');
  const files = readdirSync(dataDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !['lock', 'noted.json'].includes(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
  return {
    kernel: Object.fromEntries(kept.map((object) => [keyOf(object), object])),
    sysctls: Object.fromEntries(host.kernel.sysctls),
    store: Object.fromEntries(files.map((file) => [file.slice(dataDir.length + 1), contentOf(file)])),
  };
}

/** The data in a file, without the order of its keys; the text of one that was put aside. */
function contentOf(file: string): unknown {
  const text = readFileSync(file, 'utf8');
  return file.endsWith('.json') ? JSON.parse(text) : text;
}

const document: PolicyDocument = {
  exits: [
    { name: 'partners', id: 7, interface: 'eth1', nextHop: '192.168.0.1', addresses: ['192.168.0.245'] },
    { name: 'backup', id: 300, interface: 'eth2', addresses: ['172.19.0.5', 'fd00:19::5'] },
  ],
  policies: [{ name: 'partners', namespaces: ['default'], destinations: ['203.0.113.0/24'], exit: 'partners' }],
};

/** The configuration of the tests: pods of the namespace `default` leave by `partners`. */
export const configuration = (changes: PolicyDocument = {}): Configuration =>
  configurationOf({ type: 'egress' }, [{ ...document, ...changes }]);

/** One with another policy for all pods. */
export const policyTo = (exit: string, destinations = ['203.0.113.0/24']): Configuration =>
  configuration({ policies: [{ name: 'other', namespaces: ['*'], destinations, exit }] });

export const gatewayDocument: PolicyDocument = {
  nodes: [
    { address: '172.18.0.5', podCIDRs: ['10.0.0.0/24'] },
    { address: '172.18.0.6', podCIDRs: ['10.0.1.0/24'] },
    { address: '172.18.0.7', podCIDRs: ['10.0.2.0/24'] },
  ],
  exits: [
    { name: 'shared', id: 50, gateways: ['172.18.0.6', '172.18.0.7'], interface: 'eth1', addresses: ['192.0.2.50'] },
    { name: 'partners', id: 7, interface: 'eth2', addresses: ['192.168.0.245'] },
  ],
  policies: [{ name: 'shared', namespaces: ['default'], destinations: ['203.0.113.0/24'], exit: 'shared' }],
};

/** Three nodes, of which two are gateways: pods of the namespace `default` leave by `shared`. */
export const gatewayConfiguration = (changes: PolicyDocument = {}, entry: Partial<ChainEntry> = {}): Configuration =>
  configurationOf({ type: 'egress', ...entry }, [{ ...gatewayDocument, ...changes }]);

/** A machine of {@link gatewayConfiguration}: the node with an address on its uplink `eth0`. */
export function newNode(t: TestContext, address: string): FakeMachine {
  const machine = newMachine(t);
  const { host } = machine;
  host.links.set('eth0', { index: 20, name: 'eth0', up: true, mtu: 1500 });
  host.kernel.sysctls.set(reversePathName('eth0'), '1');
  host.linkAddresses.set('eth0', [held(address, 16)]);
  return machine;
}

/** An address of global scope that is in use. */
export const held = (address: string, prefixLength = familyOf(address) === 4 ? 24 : 64): LinkAddress => ({
  ...{ address, prefixLength, family: familyOf(address), scope: 0, usable: true },
});

/** What of a request may differ; a configuration stands for the policies in it. */
export type RequestChanges = Partial<AddRequest> & { readonly configuration?: Configuration };

/** ADD of a pod of the namespace `default` behind its own interface. */
export const request = (
  containerId: string,
  address: string,
  { configuration: own = configuration(), ...changes }: RequestChanges = {},
): AddRequest => ({
  attachment: { network: 'pods', containerId, ifname: 'eth0' },
  pod: { namespace: 'default', name: `pod-${containerId}` },
  policies: policiesOf(own),
  podNetwork: { addresses: [address], subnets: ['10.0.0.0/24'], hostInterfaces: [hostEnd(containerId)] },
  ...changes,
});

/** The attachment, after an ADD. */
export async function added(machine: FakeMachine, containerId: string, address: string, changes?: RequestChanges) {
  const asked = request(containerId, address, changes);
  await add(machine, asked);
  return asked.attachment;
}
