import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runPlugin } from '../src/cni/plugin.ts';
import { forgetLocks, lockFile } from '../src/kernel/lock.ts';
import { callInstead } from '../src/kernel/native/calls.ts';
import { Store } from '../src/store/store.ts';
import { forgetCompiled } from './forget-compiled.ts';
import { identify, openMachine, readFile } from './machine.ts';
import { runAsPlugin } from './plugin.ts';
import { StandInKernel } from './stand-in-kernel.ts';

/**
 * Has V8 compile what a call runs, while the start-up snapshot is made: V8 compiles a function when it is first called. Functions
 * compiled at build time are in the snapshot, and no ADD waits for them. All others are forgotten: those that ran while Node and the
 * program were loaded, and run no more.
 */
export async function warmUp(): Promise<void> {
  await live(); // what is made when it is first needed is there from now on
  forgetCompiled();
  prepareAsAtStart();
  await live();
}

/**
 * What Node does when a process begins with a snapshot, before it calls `main`. It has done so when this build began, and does it on top
 * of that at each start. Only `--expose-internals` shows it (`install/snapshot.ts`).
 */
function prepareAsAtStart(): void {
  const internal = process.getBuiltinModule('internal/process/pre_execution') as Preparation | undefined;
  if (internal === undefined) throw new Error('This Node does not show how it begins');
  internal.prepareMainThreadExecution(false);
}

interface Preparation {
  prepareMainThreadExecution(expandArgv1: boolean): unknown;
}

/**
 * Runs a pod's life once. Nothing of the machine is touched: the kernel is a {@link StandInKernel}, the state is in a folder that
 * goes.
 */
async function live(): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), 'egress-warm-up-'));
  using _kernel = callInstead(new StandInKernel()); // not longer: what it keeps would be in the snapshot
  try {
    writeFileSync(join(dataDir, 'policy.json'), '{}');
    for (const [command, pod] of life) await call(command, pod, dataDir);
    await callAsRuntime();
  } finally {
    rmSync(dataDir, { recursive: true });
  }
}

const podWithoutPolicy = 9;

/** The second pod finds the first one's note. */
const life = [
  ...[['ADD', 2] as const, ['ADD', 3] as const, ['CHECK', 3] as const],
  ...[['ADD', 2] as const, ['CHECK', 2] as const, ['DEL', 3] as const, ['DEL', 2] as const],
  ...[['ADD', podWithoutPolicy] as const, ['STATUS', 2] as const, ['VERSION', 2] as const],
];

/** A lock that this process has given back it leaves to others for a while, by a timer, which would be in the snapshot. */
const lock: typeof lockFile = (...given) => {
  forgetLocks();
  return lockFile(...given);
};

/** The build is called as by a runtime: it has nothing on stdin, and nobody reads its stdout. */
async function callAsRuntime(): Promise<void> {
  process.env.CNI_COMMAND = 'VERSION';
  await runAsPlugin();
  delete process.env.CNI_COMMAND;
  for (const event of ['uncaughtException', 'beforeExit']) process.removeAllListeners(event);
}

async function call(command: string, pod: number, dataDir: string): Promise<void> {
  const { exitCode, stdout } = await runPlugin({
    variables: { CNI_COMMAND: command, CNI_CONTAINERID: `warm${pod}`, CNI_NETNS: '/none', CNI_IFNAME: 'eth0' },
    readStdin: () =>
      JSON.stringify({
        ...configuration,
        ...(pod === podWithoutPolicy && { policies: [] }),
        dataDir,
        policyFile: join(dataDir, 'policy.json'),
        prevResult: prevResult(pod),
      }),
    readFile,
    identify,
    askLabels: () => Promise.reject(new Error('nobody is asked')),
    openMachine: async (options) => {
      const machine = await openMachine(options);
      const store = new Store(dataDir, { lockFile: lock, warn: () => {} });
      return { ...machine, store, build: () => 'warm', [Symbol.dispose]: () => machine[Symbol.dispose]() };
    },
  });
  // CHECK of an echo is not expected to pass: it has no counts, no names and no protocol numbers of a kernel.
  if (exitCode !== 0 && command !== 'CHECK')
    throw new Error(`${command} failed while the snapshot was made: ${stdout}`);
}

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
