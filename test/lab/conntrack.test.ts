import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, test } from 'node:test';
import { deleteFlows } from '../../src/kernel/conntrack/flows.ts';
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

/** What conntrack, the witness, lists: `udp 10.0.0.1 > 10.0.0.2`, the addresses as the first packet had them. */
function flows(): string[] {
  const lines = ['ipv4', 'ipv6'].flatMap((family) => run('conntrack', '-L', '-f', family).trim().split('\n'));
  return lines
    .filter((line) => line !== '')
    .map((line) => line.replace(/^(\w+) .*?src=(\S+) dst=(\S+) .*$/, '$1 $2 > $3'))
    .sort();
}

/** Adds flows from a file of `conntrack -I` commands. */
function addFlows(...commands: string[]): void {
  const folder = mkdtempSync(join(tmpdir(), 'egress-flows-'));
  writeFileSync(join(folder, 'flows'), commands.map((command) => `-I ${command}\n`).join(''));
  run('conntrack', '--load-file', join(folder, 'flows'));
  rmSync(folder, { recursive: true });
}

const udp = (source: string, destination: string, port = 1000) =>
  `-s ${source} -d ${destination} -p udp --sport ${port} --dport 53 -t 600`;

async function forget(
  address: string,
  change: (socket: NetlinkSocket) => Parameters<typeof deleteFlows>[0] = (s) => s,
) {
  const socket = new NetlinkSocket(protocols.netfilter);
  try {
    await deleteFlows(change(socket), address);
  } finally {
    socket.close();
  }
}

/** The pod, its neighbour and a server, in either family; a fourth address is a service that stands for the pod. */
const hosts = {
  4: { pod: '10.0.0.1', neighbour: '10.0.0.3', server: '10.0.0.2', service: '10.96.0.1' },
  6: { pod: 'fd00::1', neighbour: 'fd00::3', server: 'fd00::2', service: 'fd00:96::1' },
} as const;

run('ip', 'link', 'set', 'lo', 'up');
for (const { pod, neighbour, server, service } of [hosts[4], hosts[6]]) {
  for (const address of [pod, neighbour, server]) run('ip', 'address', 'add', address, 'dev', 'lo');
  run('ip', 'route', 'add', service, 'dev', 'lo');
}

beforeEach(() => run('conntrack', '-F'));

for (const family of [4, 6] as const) {
  const { pod, neighbour, server, service } = hosts[family];

  describe(`IPv${family}`, () => {
    test('flows that the pod began go, those of its neighbour stay', async () => {
      addFlows(udp(pod, server), udp(pod, server, 1001), udp(neighbour, server));
      await forget(pod);
      assert.deepEqual(flows(), [`udp ${neighbour} > ${server}`]);
    });

    test('flows that others began towards the pod go', async () => {
      addFlows(udp(server, pod), udp(server, neighbour));
      await forget(pod);
      assert.deepEqual(flows(), [`udp ${server} > ${neighbour}`]);
    });

    test('flows to a service that was the pod go', async () => {
      const answers = (from: string) => `--reply-src ${from} --reply-dst ${server}`;
      const ports = '--reply-port-src 53 --reply-port-dst';
      addFlows(
        `${udp(server, service)} ${answers(pod)} ${ports} 1000`,
        `${udp(server, service, 1001)} ${answers(neighbour)} ${ports} 1001`,
      );
      await forget(pod);
      assert.equal(flows().length, 1);
      assert.match(run('conntrack', '-L', '-f', `ipv${family}`), new RegExp(`src=${neighbour} dst=${server}`));
    });

    test('flows of the pod in any zone and any protocol go', async () => {
      const icmp = {
        4: 'icmp --icmp-type 8 --icmp-code 0 --icmp-id 3',
        6: 'icmpv6 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 3',
      };
      addFlows(
        udp(pod, server),
        `${udp(pod, server)} -w 7`,
        `${udp(pod, server, 1001)} --orig-zone 8`,
        `-s ${pod} -d ${server} -p ${icmp[family]} -t 600`,
      );
      assert.equal(flows().length, 4);
      await forget(pod);
      assert.deepEqual(flows(), []);
    });

    test('a pod that talks to itself is no trouble', async () => {
      addFlows(udp(pod, pod));
      await forget(pod);
      assert.deepEqual(flows(), []);
    });

    test('flows are forgotten again without an error', async () => {
      addFlows(udp(neighbour, server));
      await forget(pod);
      await forget(pod);
      assert.equal(flows().length, 1);
    });

    test('20,000 flows of others stay', async () => {
      const others = Array.from({ length: 20_000 }, (_, i) => udp(neighbour, server, 10_000 + i));
      addFlows(...others, udp(pod, server));
      await forget(pod);
      assert.equal(run('conntrack', '-C').trim(), '20000');
    });

    test('flows of real traffic go: UDP from the pod, TCP to the pod, TCP to its service', async () => {
      trackAndTranslate(family);
      try {
        await sendUdp(family, pod, server);
        await sendUdp(family, neighbour, server);
        await connectTcp(server, pod);
        await connectTcp(server, service, pod);
        assert.deepEqual(
          flows(),
          [
            `tcp ${server} > ${pod}`,
            `tcp ${server} > ${service}`,
            `udp ${neighbour} > ${server}`,
            `udp ${pod} > ${server}`,
          ].sort(),
        );
        await forget(pod);
        assert.deepEqual(flows(), [`udp ${neighbour} > ${server}`]);
      } finally {
        run('nft', 'delete table inet lab');
      }
    });
  });
}

describe('an older kernel', () => {
  const EOPNOTSUPP = 95;
  /** The header of CTA_FILTER, 25. */
  const filter = Buffer.from('0c001980', 'hex');
  const refusing = (deletions: boolean, listings: boolean) => (socket: NetlinkSocket) => {
    const refuse = ({ body }: Request) => {
      if (body.includes(filter)) throw new KernelError(EOPNOTSUPP, 0, '');
    };
    return {
      request: async (request: Request) => {
        if (deletions) refuse(request);
        return socket.request(request);
      },
      dump: async (request: Request) => {
        if (listings) refuse(request);
        return socket.dump(request);
      },
      each: (requests: readonly Request[]) => socket.each(requests),
    };
  };
  const { pod, neighbour, server } = hosts[4];
  const mixed = [
    udp(pod, server),
    udp(server, pod),
    udp(pod, pod),
    `${udp(pod, server)} -w 7`,
    `${udp(pod, server, 1001)} --orig-zone 8`,
    udp(neighbour, server),
    udp(server, neighbour),
  ];

  for (const [what, listings] of [
    ['filters listings only', false],
    ['knows no filter', true],
  ] as const) {
    test(`that ${what} loses the same flows`, async () => {
      addFlows(...mixed);
      await forget(pod, refusing(true, listings));
      assert.deepEqual(flows(), [`udp ${neighbour} > ${server}`, `udp ${server} > ${neighbour}`].sort());
    });
  }
});

/** A ruleset that makes the kernel track connections, and takes those to the service to the pod. */
function trackAndTranslate(family: 4 | 6): void {
  const { service, pod } = hosts[family];
  const ip = family === 4 ? 'ip' : 'ip6';
  run(
    'nft',
    `table inet lab { chain nat { type nat hook output priority -100; ${ip} daddr ${service} dnat ${ip} to ${pod}; }; }`,
  );
}

async function sendUdp(family: 4 | 6, source: string, destination: string): Promise<void> {
  const socket = createSocket(`udp${family}`);
  socket.bind(0, source);
  await once(socket, 'listening');
  await new Promise((sent) => socket.send('x', 9, destination, sent));
  await new Promise<void>((closed) => socket.close(() => closed()));
}

/** A connection that is made and ended; `listener` is who answers for the destination. */
async function connectTcp(source: string, destination: string, listener = destination): Promise<void> {
  await using server = createServer((peer) => peer.resume().end());
  await once(server.listen(8080, listener), 'listening');
  const client = connect({ host: destination, port: 8080, localAddress: source }).resume();
  await once(client, 'close');
}
