import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';
import { beforeEach, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { announcement } from '../../src/kernel/packet/announcement.ts';
import { ethernetFrame, etherTypes } from '../../src/kernel/packet/ethernet.ts';
import { transportChecksum } from '../../src/kernel/packet/ip.ts';
import { primer } from '../../src/kernel/packet/primer.ts';
import { sendFrames, sendPackets } from '../../src/kernel/packet/socket.ts';
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

const run = (command: string, input: string | Buffer = '') => {
  const [program = '', ...args] = command.split(' ');
  return execFileSync(program, args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
};

/** The other end of the link: a namespace that ends with us too. */
const other = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', '--net', 'sleep', 'infinity'], { stdio: 'ignore' });
other.unref();
const networkOf = (pid: number | string | undefined) => readlinkSync(`/proc/${pid}/ns/net`);
while (networkOf(other.pid) === networkOf('self')) await setTimeout(5);
const there = (command: string, input?: string | Buffer) =>
  run(`nsenter --net=/proc/${other.pid}/ns/net ${command}`, input);

const near = { index: 6, mac: '02:00:00:00:00:06' };
const far = { index: 7, mac: '02:00:00:00:00:07' };
const tunnel = { index: 8, mac: '02:e6:00:00:00:01', farMac: '02:e6:00:00:00:02' };

run(`ip link add index ${near.index} name near address ${near.mac} type veth peer name far netns ${other.pid}`);
there(`ip link set far address ${far.mac} up`);
run('ip link set near up');
run('ip address add 192.0.2.1/24 dev near');
run('ip address add 2001:db8::1/64 dev near nodad');
there('ip address add 192.0.2.2/24 dev far');
there('ip address add 2001:db8::2/64 dev far nodad');
const vxlan = 'type vxlan id 14597 dstport 4788 gbp nolearning dev';
run(
  `ip link add index ${tunnel.index} name tunnel address ${tunnel.mac} ${vxlan} near local 192.0.2.1 remote 192.0.2.2`,
);
there(`ip link add tunnel address ${tunnel.farMac} ${vxlan} far local 192.0.2.2 remote 192.0.2.1`);
run('ip link set tunnel up');
there('ip link set tunnel up');
const down = { index: 9 };
run(`ip link add index ${down.index} name down type veth peer name nowhere`);

/** Asks again until the answer is the wanted one: what was sent is delivered a little later. */
async function eventually(wanted: string, ask: () => string): Promise<void> {
  for (let tries = 0; ask() !== wanted && tries < 400; tries++) await setTimeout(5);
  assert.equal(ask(), wanted);
}

describe('an announcement makes the other side of the link believe that an address has moved', () => {
  const formerMac = '02:00:00:00:00:99';
  const macOf = (address: string) => / lladdr (\S+)/.exec(there(`ip neigh show ${address} dev far`))?.[1] ?? '';

  for (const [form, address, which] of [
    ['a request, IPv4', '192.0.2.50', 0],
    ['a reply, IPv4', '192.0.2.50', 1],
    ['an advertisement, IPv6', '2001:db8::50', 0],
  ] as const) {
    test(`as ${form}`, async () => {
      there(`ip neigh replace ${address} lladdr ${formerMac} dev far nud reachable`);
      assert.equal(macOf(address), formerMac);
      sendFrames(near.index, announcement(near.mac, address).slice(which, which + 1));
      await eventually(near.mac, () => macOf(address));
    });
  }
});

/** A connection through the tunnel, in either family. */
const connections = {
  4: { source: '10.244.1.7', destination: '198.51.100.10', egress: '192.0.2.50', pods: '10.244.0.0/16' },
  6: { source: 'fd00:244:1::7', destination: '2001:db8:100::10', egress: '2001:db8::50', pods: 'fd00:244::/32' },
} as const;
const ports = { sourcePort: 40000, destinationPort: 443 };
const packetOf = (family: 4 | 6, hops = 2) => primer({ ...connections[family], ...ports, hops });
const primerOf = (family: 4 | 6, hops = 2) =>
  ethernetFrame(tunnel.farMac, tunnel.mac, etherTypes[`ipv${family}`], packetOf(family, hops));

describe('a packet mark', () => {
  const mark = 0x0007;
  beforeEach(() => {
    there('nft -f -', 'table inet lab; delete table inet lab');
    const counters = ['marked', 'unmarked'].map((name) => `counter ${name} {}`).join('\n');
    const count = (value: number, name: string) =>
      `iifname "tunnel" tcp dport 443 meta mark ${value} counter name ${name}`;
    const rules = `${count(mark, 'marked')}\n${count(0, 'unmarked')}`;
    const chain = `chain seen { type filter hook prerouting priority -300;\n${rules}\n}`;
    there('nft -f -', `table inet lab {\n${counters}\n${chain}\n}`);
  });
  const counted = () =>
    ['marked', 'unmarked']
      .map((name) => `${name} ${/packets (\d+)/.exec(there(`nft list counter inet lab ${name}`))?.[1]}`)
      .join(', ');

  for (const family of [4, 6] as const) {
    test(`that a frame is sent with comes out of the other end of the tunnel, IPv${family}`, async () => {
      sendFrames(tunnel.index, [primerOf(family), primerOf(family)], mark);
      await eventually('marked 2, unmarked 0', counted);
    });

    test(`that is not given is not there, IPv${family}`, async () => {
      sendFrames(tunnel.index, [primerOf(family)]);
      await eventually('marked 0, unmarked 1', counted);
    });
  }

  test('may have the highest bit', async () => {
    sendFrames(tunnel.index, [primerOf(4)], 0x80000000 + mark);
    await eventually('marked 1, unmarked 0', counted);
  });
});

/** Makes the other side a gateway with SNAT for the connection of a family. */
function makeGateway(family: 4 | 6): void {
  const { source, destination, egress, pods } = connections[family];
  const forwarding = family === 4 ? 'ipv4.ip_forward' : 'ipv6.conf.all.forwarding';
  there(`sysctl -qw net.${forwarding}=1`);
  there(`ip -${family} route replace ${pods} dev tunnel`);
  there(`ip -${family} route replace ${destination} dev far`);
  const ip = family === 4 ? 'ip' : 'ip6';
  const snat = `${ip} saddr ${source} snat ${ip} to ${egress}`;
  const stray = 'chain strays { type filter hook prerouting priority 0; ct state invalid counter name invalid; }';
  const nat = `chain nat { type nat hook postrouting priority 95; ${snat}; }`;
  there('nft -f -', 'table inet gateway; delete table inet gateway');
  there('nft -f -', `table inet gateway {\ncounter invalid {}\n${stray}\n${nat}\n}`);
  there('conntrack -F');
}

/** The flows of TCP that the gateway's conntrack has; without their timeouts. */
const flows = (family: 4 | 6) =>
  there(`conntrack -L -f ipv${family} -p tcp`)
    .replace(/^tcp +6 \d+ /gm, '')
    .replace(/ mark=.*$/gm, '')
    .trim();

describe('a primer', () => {
  const picture = (family: 4 | 6, replied = '[UNREPLIED] ') => {
    const { source, destination, egress } = connections[family];
    const original = `src=${source} dst=${destination} sport=40000 dport=443`;
    return `ESTABLISHED ${original} ${replied}src=${destination} dst=${egress} sport=443 dport=40000`;
  };

  for (const family of [4, 6] as const) {
    test(`makes a gateway’s conntrack pick the connection up, with its SNAT, IPv${family}`, async () => {
      makeGateway(family);
      sendFrames(tunnel.index, [primerOf(family)]);
      await eventually(picture(family), () => flows(family));
    });
  }

  test('is followed by what either side sends, whatever its sequence numbers, and the flow lasts for days', async () => {
    makeGateway(4);
    there(`ip address replace ${connections[4].egress}/24 dev far`);
    sendFrames(tunnel.index, [primerOf(4)]);
    await eventually(picture(4), () => flows(4));
    sendFrames(near.index, [numbered(answerFrame(), 0x87654321, 0x09abcdef)]);
    await eventually(picture(4, ''), () => flows(4));
    sendFrames(tunnel.index, [numbered(primerOf(4), 0x09abcdef, 0x87654321)]);
    await eventually(`${picture(4, '')} [ASSURED]`, () => flows(4));
    const [, seconds] = /^tcp +6 (\d+)/.exec(there('conntrack -L -p tcp')) ?? [];
    assert.ok(Number(seconds) > 86_400, `${seconds} s`);
    assert.match(there('nft list counter inet gateway invalid'), /packets 0 /);
  });

  const answerFrame = () => {
    const { egress, destination } = connections[4];
    const answer = { source: destination, destination: egress, sourcePort: 443, destinationPort: 40000, hops: 2 };
    return ethernetFrame(far.mac, near.mac, etherTypes.ipv4, primer(answer));
  };

  /** An IPv4 primer with other numbers, as a connection that has lived for a while has them. */
  function numbered(frame: Buffer, sequence: number, acknowledgement: number): Buffer {
    const [source = '', destination = ''] = [26, 30].map((at) => frame.subarray(at, at + 4).join('.'));
    const segment = frame.subarray(34);
    segment.writeUInt32BE(sequence, 4);
    segment.writeUInt32BE(acknowledgement, 8);
    segment.writeUInt16BE(0, 16);
    segment.writeUInt16BE(transportChecksum({ source, destination, protocol: 6, hops: 2 }, segment), 16);
    return frame;
  }
});

describe('a packet that is sent through the node’s own stack', () => {
  const mark = 0x80100007;

  /** Our side leads marked packets to the other side, with the address of the connection's exit. */
  function makeNode(family: 4 | 6): void {
    const { egress } = connections[family];
    const ip = family === 4 ? 'ip' : 'ip6';
    const next = family === 4 ? '192.0.2.2' : '2001:db8::2';
    spawnSync('ip', [`-${family}`, 'rule', 'del', 'fwmark', String(mark)]);
    run(`ip -${family} rule add fwmark ${mark} lookup 70`);
    run(`ip -${family} route replace default via ${next} dev near onlink table 70`);
    const nat = `chain nat { type nat hook postrouting priority 95; meta mark ${mark} snat ${ip} to ${egress}; }`;
    run('nft -f -', `table inet node\ndelete table inet node\ntable inet node {\n${nat}\n}`);
    run('conntrack -F');
  }

  for (const family of [4, 6] as const) {
    test(`makes its conntrack know a connection of a pod, with the SNAT of the mark, IPv${family}`, async () => {
      const { source, destination, egress } = connections[family];
      makeNode(family);
      sendPackets([packetOf(family)], mark);
      const flow = run(`conntrack -L -f ipv${family} -p tcp`);
      assert.match(flow, new RegExp(`ESTABLISHED src=${source} dst=${destination} sport=40000 dport=443 `));
      assert.match(flow, new RegExp(` \\[UNREPLIED\\] src=${destination} dst=${egress} sport=443 dport=40000 `));
    });
  }

  test('is lost where nothing leads to its destination, or a rule drops it; the others are sent', () => {
    makeNode(4);
    const others = [1, 2, 3].map((i) => primer({ ...connections[4], ...ports, sourcePort: 40000 + i, hops: 2 }));
    run('ip route add unreachable 198.51.100.66 table 70');
    run('nft -f -', 'add chain inet node out { type filter hook output priority 0; tcp sport 40002 drop; }');
    sendPackets([primer({ ...connections[4], ...ports, destination: '198.51.100.66', hops: 2 }), ...others], mark);
    assert.deepEqual(
      [...run('conntrack -L -p tcp').matchAll(/ sport=(400\d\d) /g)].map(([, port]) => port).toSorted(),
      ['40001', '40003'],
    );
  });
});

describe('tcpdump', () => {
  /** What it makes of a capture file with one frame: little-endian pcap 2.4, Ethernet, no time. */
  function read(frame: Buffer): string {
    const file = Buffer.from('d4c3b2a10200040000000000000000000000010001000000', 'hex');
    const record = Buffer.alloc(16);
    record.writeUInt32LE(frame.length, 8);
    record.writeUInt32LE(frame.length, 12);
    return run('tcpdump -nnvver -', Buffer.concat([file, record, frame])).replace(/\s+/g, ' ');
  }

  test('sees right checksums in primers', () => {
    const four = read(primerOf(4));
    assert.match(
      four,
      /02:e6:00:00:00:01 > 02:e6:00:00:00:02, ethertype IPv4 .*ttl 2, id 0, .*flags \[DF\], proto TCP/,
    );
    assert.match(
      four,
      /10\.244\.1\.7\.40000 > 198\.51\.100\.10\.443: Flags \[\.\], cksum 0x\w+ \(correct\), seq 0, ack 0,/,
    );
    assert.match(four, /length 0 $/);
    assert.doesNotMatch(four, /bad cksum/);
    const six = read(primerOf(6, 64));
    assert.match(six, /hlim 64, next-header TCP \(6\) payload length: 20/);
    assert.match(six, /7\.40000 > 2001:db8:100::10\.443: Flags \[\.\], cksum 0x\w+ \(correct\), seq 0, ack 0,/);
  });

  test('sees announcements in what announces', () => {
    const [request, reply] = announcement(near.mac, '192.0.2.50').map(read);
    assert.match(request ?? '', /> ff:ff:ff:ff:ff:ff, .* Request who-has 192\.0\.2\.50 (\(\S+\) )?tell 192\.0\.2\.50,/);
    assert.match(reply ?? '', /> ff:ff:ff:ff:ff:ff, .* Reply 192\.0\.2\.50 is-at 02:00:00:00:00:06,/);
    const [advertisement] = announcement(near.mac, '2001:db8::50').map(read);
    assert.match(advertisement ?? '', /> 33:33:00:00:00:01, .*hlim 255, next-header ICMPv6/);
    assert.match(advertisement ?? '', /2001:db8::50 > ff02::1: \[icmp6 sum ok\] ICMP6, neighbor advertisement/);
    assert.match(
      advertisement ?? '',
      /tgt is 2001:db8::50, Flags \[override\] destination link-address option .*: 02:00:00:00:00:06/,
    );
  });
});

describe('what cannot be sent', () => {
  const descriptors = () => readdirSync('/proc/self/fd').length;

  for (const [why, device, frame, code] of [
    ['there is no such device', 4242, primerOf(4), 'ENXIO'],
    ['the device is down', down.index, primerOf(4), 'ENETDOWN'],
    ['the frame is longer than the device’s MTU', near.index, Buffer.alloc(2000, primerOf(4)), 'EMSGSIZE'],
  ] as const) {
    test(`is an error with the errno’s name, and leaves no socket behind: ${why}`, () => {
      const before = descriptors();
      assert.throws(() => sendFrames(device, [frame]), { code, message: `sendto: ${code}`, syscall: 'sendto' });
      assert.equal(descriptors(), before);
    });
  }
});
