import { execFileSync, spawnSync } from 'node:child_process';
import { describe } from 'node:test';
import { LinuxHost } from '../../src/kernel/linux-host.ts';
import { hangsAfterMs } from '../support/guard.ts';
import { hostLinks, hostSuite } from '../support/host-suite.ts';

// As in rtnetlink.test.ts: a network namespace of its own, which ends with the process, and the process with us.
if (process.env.EGRESS_TEST_NAMESPACE === undefined) {
  const env = { ...process.env, EGRESS_TEST_NAMESPACE: 'own' };
  const command = ['--pdeathsig', 'KILL', 'unshare', '--net', process.execPath, import.meta.filename];
  const limits = { timeout: hangsAfterMs, killSignal: 'SIGKILL' } as const;
  const { status } = spawnSync('setpriv', command, { env, stdio: 'inherit', ...limits });
  process.exit(status ?? 1);
}

const sh = (script: string) => execFileSync('sh', ['-ec', script], { encoding: 'utf8' });

const names = Object.keys(hostLinks);
const links = Object.entries(hostLinks).flatMap(([name, addresses]) => [
  `ip link add ${name} type veth peer name peer-${name}`,
  `echo 0 >/proc/sys/net/ipv4/conf/${name}/rp_filter`,
  `ip link set peer-${name} up; ip link set ${name} up`,
  ...addresses.map((address) => `ip address add ${address} dev ${name} ${address.includes(':') ? 'nodad' : ''}`),
]);
// `flush` leaves the rule for the table `local`.
const rules = 'for f in 4 6; do ip -$f rule flush; ip -$f rule add pref 32766 lookup main; done';
const after = [
  'nft flush ruleset',
  ...names.map((name) => `ip link del ${name}`),
  'ip link del egress0 2>/dev/null || true',
];

describe('the kernel does what the suite of hosts says:', () => {
  hostSuite(async () => {
    sh(['ip link set lo up', ...links].join('\n'));
    const host = new LinuxHost();
    const end = () => {
      host[Symbol.dispose]();
      sh([...after, rules, 'for f in 4 6; do ip -$f route flush table all proto 230; done'].join('\n'));
    };
    return { host, interfere: () => sh('nft add table inet other'), [Symbol.dispose]: end };
  });
});
