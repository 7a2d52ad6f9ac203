import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { NetlinkSocket, protocols } from '../../src/kernel/netlink/socket.ts';
import { HeardGenerations } from '../../src/kernel/nftables/generations.ts';
import { readGeneration } from '../../src/kernel/nftables/transaction.ts';
import { hangsAfterMs } from '../support/guard.ts';

// In a network namespace of its own, as rtnetlink.test.ts.
if (process.env.EGRESS_TEST_NAMESPACE === undefined) {
  const env = { ...process.env, EGRESS_TEST_NAMESPACE: 'own' };
  const command = ['--pdeathsig', 'KILL', 'unshare', '--net', process.execPath, import.meta.filename];
  const limits = { timeout: hangsAfterMs, killSignal: 'SIGKILL' } as const;
  process.exit(spawnSync('setpriv', command, { env, stdio: 'inherit', ...limits }).status ?? 1);
}

const nft = (...lines: readonly string[]) => execFileSync('nft', ['-f', '-'], { input: lines.join('\n') });
const socket = new NetlinkSocket(protocols.netfilter);

/** Who hears from now on, and the generation of now. */
async function hearing() {
  const heard = new HeardGenerations(new NetlinkSocket(protocols.netfilter));
  const generation = await readGeneration(socket);
  heard.read(generation);
  return { heard, generation, [Symbol.dispose]: () => heard[Symbol.dispose]() };
}

const set = 'a { type ipv4_addr; }';
nft(
  `table inet cni-egress { set ${set}; }`,
  `table netdev cni-egress { set ${set}; }`,
  `table inet other { set ${set}; }`,
);

test('all that others do in tables of theirs is heard, and changes ours in no generation', async () => {
  using own = await hearing();
  const lines = [
    'add chain inet other c { type filter hook forward priority 0; }',
    'add rule inet other c counter accept',
    'add element inet other a { 192.0.2.1, 192.0.2.2 }',
    'add table ip cni; add chain ip cni c; add counter ip cni n',
    'flush chain inet other c',
    'delete table ip cni; delete chain inet other c',
    'delete element inet other a { 192.0.2.1 }',
  ];
  for (const line of lines) nft(line);
  const now = await readGeneration(socket);
  assert.equal(now, own.generation + lines.length);
  assert.equal(own.heard.newestLike(own.generation), now);
});

const ours = [
  'add element inet cni-egress a { 192.0.2.1 }',
  'flush set inet cni-egress a',
  'add chain inet cni-egress c { type filter hook forward priority 0; }',
  'add rule inet cni-egress c counter accept',
  'flush chain inet cni-egress c',
  'delete chain inet cni-egress c',
  'add counter inet cni-egress n',
  'delete counter inet cni-egress n',
  'add set netdev cni-egress b { type ipv4_addr; }',
  'delete table netdev cni-egress',
  'add element inet other a { 192.0.2.3 }; add element inet cni-egress a { 192.0.2.3 }; delete element inet other a { 192.0.2.3 }',
  'flush ruleset',
];
for (const [i, line] of ours.entries()) {
  test(`that somebody did "${line}" is heard, among what others do in tables of theirs`, async () => {
    using own = await hearing();
    nft(`add table ip before${i}`);
    nft(line);
    const behind = await readGeneration(socket);
    nft(`add table ip behind${i}`);
    assert.equal(own.heard.newestLike(own.generation), undefined);
    assert.equal(own.heard.newestLike(behind), await readGeneration(socket));
  });
}

test('what had no room is not taken for nothing', async () => {
  nft('table inet other { set b { type ipv4_addr; }; }');
  using own = await hearing();
  const addresses = Array.from({ length: 60_000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
  nft(`add element inet other b { ${addresses.join(', ')} }`);
  assert.equal(own.heard.newestLike(own.generation), undefined);
  nft('delete table inet other');
  assert.equal(own.heard.newestLike(own.generation + 1), undefined);
});
