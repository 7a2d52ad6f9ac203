import { closeSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runPlugin } from '../src/cni/plugin.ts';
import { callInstead } from '../src/kernel/native/calls.ts';
import { Store } from '../src/store/store.ts';
import { answer } from './answer.ts';
import { identify, openMachine, readFile } from './machine.ts';
import { StandInKernel } from './stand-in-kernel.ts';

/**
 * Runs a pod's life once while the start-up snapshot is made. V8 compiles a function when it is first called. Functions
 * compiled at build time are in the snapshot, and no ADD waits for them. Nothing of the machine is touched: the kernel
 * is a {@link StandInKernel}, the state is in a folder that goes.
 */
export async function warmUp(): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'egress-warm-up-'));
  using _kernel = callInstead(new StandInKernel()); // not longer: what it keeps would be in the snapshot
  try {
    writeFileSync(join(dataDir, 'policy.json'), '{}');
    for (const [command, pod] of life) await call(command, pod, dataDir);
    answer({ stdout: '', exitCode: 0 });
  } finally {
    rmSync(dataDir, { recursive: true });
  }
}

/** The second pod finds the first one's note. */
const life = [
  ...[['ADD', 2] as const, ['ADD', 3] as const, ['CHECK', 3] as const],
  ...[['ADD', 2] as const, ['CHECK', 2] as const, ['DEL', 3] as const, ['DEL', 2] as const],
  ...[['STATUS', 2] as const, ['VERSION', 2] as const],
];

async function call(command: string, pod: number, dataDir: string): Promise<void> {
  const { exitCode, stdout } = await runPlugin({
    variables: { CNI_COMMAND: command, CNI_CONTAINERID: `warm${pod}`, CNI_NETNS: '/none', CNI_IFNAME: 'eth0' },
    readStdin: () =>
      JSON.stringify({
        ...configuration,
        dataDir,
        policyFile: join(dataDir, 'policy.json'),
        prevResult: prevResult(pod),
      }),
    readFile,
    identify,
    askLabels: () => Promise.reject(new Error('nobody is asked')),
    openMachine: async (options) => {
      const machine = await openMachine(options);
      const store = new Store(dataDir, { lockFile: unlocked, warn: () => {} });
      return { ...machine, store, build: () => 'warm', [Symbol.dispose]: () => machine[Symbol.dispose]() };
    },
  });
  // CHECK of an echo is not expected to pass: it has no counts, no names and no protocol numbers of a kernel.
  if (exitCode !== 0 && command !== 'CHECK')
    throw new Error(`${command} failed while the snapshot was made: ${stdout}`);
}

/** Nobody else knows the folder. */
const unlocked = async (fd: number) => ({ isWanted: false, [Symbol.dispose]: () => closeSync(fd) });

const configuration = {
  cniVersion: '1.1.0',
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
  interfaces: [{ name: `veth${pod}` }, { name: 'eth0', sandbox: '/none' }],
  ips: [
    { address: `10.0.0.${pod}/24`, interface: 1 },
    { address: `fd00:10::${pod}/64`, interface: 1 },
  ],
});
