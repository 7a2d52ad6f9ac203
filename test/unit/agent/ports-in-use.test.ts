import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PortsInUse } from '../../../src/agent/ports-in-use.ts';
import type { ResolvedExit } from '../../../src/datapath/exit.ts';
import type { Flow, Host } from '../../../src/datapath/host.ts';

const exit = {
  ...{ name: 'partners', id: 7, device: 'eth1' },
  ways: [{ family: 4, addresses: ['192.168.0.245'] }],
} as unknown as ResolvedExit;

const flow = (protocol: number, replyDestinationPort: number) => ({ protocol, replyDestinationPort }) as Flow;

const flows = [flow(6, 1024), flow(6, 1024), flow(6, 1025), flow(17, 1024), flow(1, 7)];

/** A clock that stands, and a host whose listings take some time. */
function newPorts(milliseconds: number) {
  const seen = { clock: 0, listings: 0 };
  const listFlowsTo = async () => {
    seen.listings++;
    seen.clock += milliseconds;
    return flows;
  };
  const ports = new PortsInUse(() => seen.clock);
  return { seen, read: (exits = [exit]) => ports.read({ listFlowsTo } as unknown as Host, exits) };
}

test('ports in use are counted once for each protocol, connections each', async () => {
  const { read } = newPorts(0);
  assert.deepEqual(await read(), [
    { exit: 'partners', address: '192.168.0.245', connections: 5, ports: { tcp: 2, udp: 1 } },
  ]);
});

test('addresses that a gateway has are counted there', async () => {
  const { read, seen } = newPorts(0);
  assert.deepEqual(await read([{ ...exit, gateway: '172.18.0.3' }]), []);
  assert.equal(seen.listings, 0);
});

test('connections are listed each ten seconds at most, and a hundred times as seldom as it takes', async () => {
  for (const [took, next] of [
    [1, 10_000],
    [500, 50_000],
  ] as const) {
    const { read, seen } = newPorts(took);
    const first = await read();
    seen.clock = took + next - 1;
    assert.equal(await read(), first);
    assert.equal(seen.listings, 1);
    seen.clock = took + next;
    await read();
    assert.equal(seen.listings, 2);
  }
});
