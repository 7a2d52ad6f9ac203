import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { tunnelMac } from '../../src/datapath/tunnel.ts';
import { EchoAsker } from '../../src/kernel/packet/asker.ts';
import { hangsAfterMs } from '../support/guard.ts';

// The whole file runs in a network namespace of its own, which ends with the process, and the process with us.
if (process.env.EGRESS_TEST_NAMESPACE === undefined) {
  const env = { ...process.env, EGRESS_TEST_NAMESPACE: 'own' };
  const command = ['--pdeathsig', 'KILL', 'unshare', '--net', process.execPath, import.meta.filename];
  const options = { env, stdio: 'inherit', timeout: hangsAfterMs, killSignal: 'SIGKILL' } as const;
  process.exit(spawnSync('setpriv', command, options).status ?? 1);
}

/** A node, and a gateway that has addresses, whose namespace ends with us too. */
const [node, gateway] = ['192.0.2.1', '192.0.2.2'];
const held = { 4: '192.0.2.50', 6: '2001:db8::50' } as const;
const near = { index: 6, mac: '02:00:00:00:00:06' };
const tunnel = { index: 8 };

const run = (command: string) => {
  const [program = '', ...args] = command.split(' ');
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
};
const other = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', '--net', 'sleep', 'infinity'], { stdio: 'ignore' });
other.unref();
const networkOf = (pid: number | string | undefined) => readlinkSync(`/proc/${pid}/ns/net`);
while (networkOf(other.pid) === networkOf('self')) await setTimeout(5);
const there = (command: string) => run(`nsenter --net=/proc/${other.pid}/ns/net ${command}`);
run(`ip link add index ${near.index} name near address ${near.mac} type veth peer name far netns ${other.pid}`);
for (const [at, device, own, remote, six] of [
  [run, 'near', node, gateway, '2001:db8::1'],
  [there, 'far', gateway, node, '2001:db8::2'],
] as const) {
  at(`ip link set ${device} up`);
  at(`ip address add ${own}/24 dev ${device}`);
  at(`ip address add ${six}/64 dev ${device} nodad`);
  const index = at === run ? `index ${tunnel.index}` : '';
  const vxlan = `type vxlan id 14597 dstport 4788 nolearning dev ${device} local ${own} remote ${remote}`;
  at(`ip link add ${index} name tunnel address ${tunnelMac(own)} ${vxlan}`.replace('  ', ' '));
  at('ip link set tunnel up');
}
there(`ip address add ${held[4]}/32 dev far`);
there(`ip address add ${held[6]}/128 dev far nodad`);

describe('who asks a gateway', () => {
  let told = 0;
  const asker = new EchoAsker({
    tunnel: async () => tunnel.index,
    underlay: near,
    stationOf: async () => undefined,
    ears: { hinted: () => {}, answered: () => told++ },
  });
  after(() => asker[Symbol.dispose]());
  const ask = (family: 4 | 6, text: string) => {
    const source = family === 4 ? node : '2001:db8::1';
    return asker.ask(node, [{ gateway, address: held[family], source, data: Buffer.from(text) }]);
  };
  const read = () => asker.answers().map(String);

  for (const family of [4, 6] as const) {
    test(`is told of the answer when it listens, until it is read, and not else, IPv${family}`, async () => {
      await ask(family, 'one of 12 B.');
      const first: string[] = [];
      while (first.length === 0) {
        first.push(...read());
        await setTimeout(1);
      }
      assert.deepEqual([first, told], [['one of 12 B.'], 0]);
      asker.listen(true);
      await ask(family, 'another one.');
      while (told === 0) await setTimeout(1);
      assert.deepEqual(read(), ['another one.']);
      const before = told;
      asker.listen(true); // again: nothing changes
      await setTimeout(50);
      assert.ok(told - before <= 1, `${told - before} times`); // one may have been on its way
      asker.listen(false);
      told = 0;
      await ask(family, 'the last one');
      const last: string[] = [];
      while (last.length === 0) {
        last.push(...read());
        await setTimeout(1);
      }
      assert.deepEqual([last, told], [['the last one'], 0]);
    });
  }
});
