import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, test } from 'node:test';
import type { Flow } from '../../src/datapath/host.ts';
import { deleteFlows, deleteFlowsTo, listFlows } from '../../src/kernel/conntrack/flows.ts';
import { restoreFlows } from '../../src/kernel/conntrack/restore.ts';
import { KernelError, NetlinkSocket, protocols, type Request } from '../../src/kernel/netlink/socket.ts';
import { hangsAfterMs } from '../support/guard.ts';

// The whole file runs in a network namespace of its own, which ends with the process, and the process with us: there is
// nothing to clean up.
if (process.env.EGRESS_TEST_NAMESPACE === undefined) {
  const env = { ...process.env, EGRESS_TEST_NAMESPACE: 'own' };
  const command = ['--pdeathsig', 'KILL', 'unshare', '--net', process.execPath, import.meta.filename];
  const { status } = spawnSync('setpriv', command, {
    env,
    stdio: 'inherit',
    timeout: hangsAfterMs,
    killSignal: 'SIGKILL',
  });
  process.exit(status ?? 1);
}

const run = (command: string, ...args: string[]) =>
  execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/** What conntrack, the witness, lists: `tcp 1000`, the protocol and the source port of the first packet. */
const left = () =>
  ['ipv4', 'ipv6']
    .flatMap((family) => run('conntrack', '-L', '-f', family).trim().split('\n'))
    .filter((line) => line !== '')
    .map((line) => line.replace(/^(\w+) .*?(?: sport=(\d+)| type=\d+).*$/, '$1 $2').trim())
    .sort();

/** Adds flows from a file of `conntrack -I` commands. */
function addFlows(...commands: readonly string[]): void {
  const folder = mkdtempSync(join(tmpdir(), 'egress-flows-'));
  writeFileSync(join(folder, 'flows'), commands.map((command) => `-I ${command} -t 600\n`).join(''));
  run('conntrack', '--load-file', join(folder, 'flows'));
  rmSync(folder, { recursive: true });
}

type Socket = Parameters<typeof listFlows>[0];

async function withSocket<T>(use: (socket: NetlinkSocket) => Promise<T>): Promise<T> {
  const socket = new NetlinkSocket(protocols.netfilter);
  try {
    return await use(socket);
  } finally {
    socket.close();
  }
}

/** As kernels before 5.8, and as those until 2024, which filter listings but not deletions. */
function refusingFilters(socket: NetlinkSocket, ...calls: readonly ('dump' | 'request')[]): Socket {
  const refuse = ({ body }: Request) => {
    if (body.includes(Buffer.from('0c001980', 'hex'))) throw new KernelError(95, 0, '');
  };
  const asked = (call: 'dump' | 'request') => async (request: Request) => {
    if (calls.includes(call)) refuse(request);
    return socket[call](request);
  };
  return { dump: asked('dump'), request: asked('request'), each: (requests) => socket.each(requests) };
}

/** Two pods, a server outside, and the egress address that the pods' connections leave with. */
const hosts = {
  4: { pod: '10.0.0.1', neighbour: '10.0.0.3', server: '198.51.100.10', egress: '192.0.2.50' },
  6: { pod: 'fd00::1', neighbour: 'fd00::3', server: '2001:db8:100::10', egress: '2001:db8::50' },
} as const;

const flow = (from: string, to: string, protocol: string, port: number) =>
  `-s ${from} -d ${to} -p ${protocol} --sport ${port} --dport 443`;
const translated = (server: string, egress: string, port: number) =>
  `--reply-src ${server} --reply-dst ${egress} --reply-port-src 443 --reply-port-dst ${port}`;

/** Flows of every kind that the functions tell apart, named by their source port. */
function addMixed(family: 4 | 6): void {
  const { pod, neighbour, server, egress } = hosts[family];
  const ping =
    family === 4
      ? 'icmp --icmp-type 8 --icmp-code 0 --icmp-id 3'
      : 'icmpv6 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 3';
  addFlows(
    `${flow(pod, server, 'tcp', 1000)} --state ESTABLISHED ${translated(server, egress, 61000)}`,
    `${flow(pod, server, 'tcp', 1001)} --state SYN_SENT ${translated(server, egress, 1001)}`,
    `${flow(pod, server, 'udp', 1002)}`,
    `${flow(neighbour, server, 'udp', 1003)} ${translated(server, egress, 1003)}`,
    `${flow(neighbour, pod, 'tcp', 1004)} --state ESTABLISHED`,
    `${flow(egress, server, 'udp', 1005)}`,
    `-s ${pod} -d ${server} -p ${ping}`,
  );
}

/** The kernel numbers a connection anew each time. */
const withoutId = ({ id, ...flow }: Flow): Omit<Flow, 'id'> => {
  assert.ok(Number.isInteger(id), 'each connection in the kernel has a number');
  return flow;
};

beforeEach(() => run('conntrack', '-F'));

/** Nobody is asked to filter IPv6. */
const kernels = [
  ['this kernel', []],
  ['a kernel that filters listings only', ['request']],
  ['a kernel that knows no filter', ['request', 'dump']],
] as const;

for (const family of [4, 6] as const) {
  const { pod, neighbour, server, egress } = hosts[family];
  const icmp = family === 4 ? 'icmp' : 'icmpv6';

  for (const [kernel, calls] of family === 4 ? kernels : kernels.slice(0, 1)) {
    describe(`IPv${family}, ${kernel}`, () => {
      beforeEach(() => addMixed(family));
      const using = <T>(use: (socket: Socket) => Promise<T>) =>
        withSocket((socket) => use(refusingFilters(socket, ...calls)));

      test('lists what a pod began, with ports, translation and state', async () => {
        const listed = (await using((socket) => listFlows(socket, pod, 'source'))).map(withoutId);
        const common = { family, source: pod, destination: server, replySource: server };
        const byPort = [...listed].sort((a, b) => (a.sourcePort ?? 0) - (b.sourcePort ?? 0));
        assert.deepEqual(byPort, [
          { ...common, protocol: family === 4 ? 1 : 58, replyDestination: pod },
          {
            ...common,
            protocol: 6,
            sourcePort: 1000,
            destinationPort: 443,
            replySourcePort: 443,
            replyDestination: egress,
            replyDestinationPort: 61000,
            established: true,
          },
          {
            ...common,
            protocol: 6,
            sourcePort: 1001,
            destinationPort: 443,
            replySourcePort: 443,
            replyDestination: egress,
            replyDestinationPort: 1001,
          },
          {
            ...common,
            protocol: 17,
            sourcePort: 1002,
            destinationPort: 443,
            replySourcePort: 443,
            replyDestination: pod,
            replyDestinationPort: 1002,
          },
        ]);
      });

      test('restores an established connection with the port that it had, whatever conntrack made of it since', async () => {
        const [own] = (await using((socket) => listFlows(socket, pod, 'source'))).filter((flow) => flow.established);
        assert.ok(own);
        await using((socket) => deleteFlows(socket, pod));
        await using((socket) => restoreFlows(socket, [own], egress));
        const restored = await using((socket) => listFlows(socket, pod, 'source'));
        assert.deepEqual(restored.map(withoutId), [withoutId(own)]);
        const [address, options] = [family === 4 ? egress : pod, { sourcePort: own.sourcePort }];
        await using((socket) => restoreFlows(socket, [{ ...own, replyDestinationPort: 61001 }], address));
        const listed = run('conntrack', '-L', '-f', `ipv${family}`, '-p', 'tcp', '--orig-src', pod);
        const ends = (from: string, to: string, sport: number, dport: number) =>
          `src=${from} dst=${to} sport=${sport} dport=${dport}`;
        assert.match(
          listed,
          new RegExp(
            `^tcp +6 43\\d{4} ESTABLISHED ${ends(pod, server, options.sourcePort ?? 0, 443)} ${ends(server, address, 443, 61001)} \\[ASSURED\\]`,
          ),
        );
      });

      test('deletes and restores hundreds at once, some of which are there already', async () => {
        const ports = Array.from({ length: 300 }, (_, i) => 2000 + i);
        addFlows(
          ...ports.map(
            (port) =>
              `${flow(pod, server, 'tcp', port)} --state ESTABLISHED ${translated(server, egress, 60000 + port)}`,
          ),
        );
        const isOurs = ({ sourcePort = 0 }: { sourcePort?: number }) => sourcePort >= 2000;
        const list = () => using(async (socket) => (await listFlows(socket, pod, 'source')).filter(isOurs));
        const before = await list();
        assert.equal(before.length, ports.length);
        await using((socket) => deleteFlows(socket, pod, { only: (one) => isOurs(one) && one.sourcePort !== 2150 }));
        assert.deepEqual(
          (await list()).map(({ sourcePort }) => sourcePort),
          [2150],
        );
        await using((socket) => restoreFlows(socket, before, egress));
        const inOrder = (flows: Awaited<ReturnType<typeof list>>) =>
          flows.map(withoutId).toSorted((a, b) => (a.sourcePort ?? 0) - (b.sourcePort ?? 0));
        assert.deepEqual(inOrder(await list()), inOrder(before));
      });

      test('lists what is answered to an egress address, whoever began it', async () => {
        const listed = await using((socket) => listFlows(socket, egress, 'replyDestination'));
        const found = listed.map(({ source, sourcePort }) => `${source} ${sourcePort}`).sort();
        const wanted = [`${pod} 1000`, `${pod} 1001`, `${neighbour} 1003`, `${egress} 1005`];
        assert.deepEqual(found, wanted.sort());
      });

      test('deletes those of a pod that are chosen, and no other', async () => {
        const only = ({ replyDestination }: { replyDestination: string }) => replyDestination === pod;
        await using((socket) => deleteFlows(socket, pod, { only }));
        assert.deepEqual(left(), ['tcp 1000', 'tcp 1001', 'tcp 1004', 'udp 1003', 'udp 1005'].sort());
      });

      test('may choose among those that others began towards a pod', async () => {
        await using((socket) => deleteFlows(socket, pod, { only: ({ source }) => source === neighbour }));
        assert.deepEqual(left(), [icmp, 'tcp 1000', 'tcp 1001', 'udp 1002', 'udp 1003', 'udp 1005'].sort());
      });

      test('deletes all that is answered to an egress address or was sent to it alone, and nothing else of the pods', async () => {
        addFlows(
          `${flow(server, egress, 'tcp', 1006)} --state ESTABLISHED`,
          `${flow(server, egress, 'tcp', 1007)} --state ESTABLISHED --reply-src ${pod} --reply-dst ${server} --reply-port-src 443 --reply-port-dst 1007`,
        );
        await using((socket) => deleteFlowsTo(socket, egress));
        assert.deepEqual(left(), [icmp, 'tcp 1004', 'tcp 1007', 'udp 1002'].sort());
      });
    });
  }
}
