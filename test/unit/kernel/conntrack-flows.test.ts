import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Flow } from '../../../src/datapath/host.ts';
import { deleteFlows, deleteFlowsTo, listFlows } from '../../../src/kernel/conntrack/flows.ts';
import { KernelError, type Request } from '../../../src/kernel/netlink/socket.ts';

// What Linux 6.18 listed after the `conntrack` command above each, without the netlink header: struct nfgenmsg, then
// an attribute a piece.
const bytes = (...pieces: readonly string[]) => pieces.join('').replaceAll(' ', '');

const ipv4 = '02 00 0000';
const ipv6 = '0a 00 0000';
const confirmed = '0800 0300 00000008';
const established =
  '3000 0480 2c00 0180 0500 0100 03000000 0500 0200 00000000 0500 0300 00000000 0600 0400 0a000000 0600 0500 0a000000';
const synSent = established.replace('0100 03', '0100 01');
const around = '0800 0b00 00000001 0800 0700 00000257';

/** -I -s 10.244.1.7 -d 198.51.100.10 -p tcp --sport 40000 --dport 443 --state ESTABLISHED --reply-dst 192.0.2.50 … */
const tcp = {
  original:
    '3400 0180 1400 0180 0800 0100 0af40107 0800 0200 c633640a 1c00 0280 0500 0100 06000000 0600 0200 9c400000 0600 0300 01bb0000',
  reply:
    '3400 0280 1400 0180 0800 0100 c633640a 0800 0200 c0000232 1c00 0280 0500 0100 06000000 0600 0200 01bb0000 0600 0300 9c400000',
  id: '0800 0c00 e51664a5',
};
/** -I -s 10.244.1.7 -d 198.51.100.10 -p icmp --icmp-type 8 --icmp-code 0 --icmp-id 3 */
const icmp = {
  original:
    '3c00 0180 1400 0180 0800 0100 0af40107 0800 0200 c633640a 2400 0280 0500 0100 01000000 0600 0400 00030000 0500 0500 08000000 0500 0600 00000000',
  reply:
    '3c00 0280 1400 0180 0800 0100 c633640a 0800 0200 0af40107 2400 0280 0500 0100 01000000 0600 0400 00030000 0500 0500 00000000 0500 0600 00000000',
  id: '0800 0c00 22ffd13a',
};
/** -I -s fd00:244:1::7 -d 2001:db8:100::10 -p tcp --sport 40000 --dport 443 --state SYN_SENT */
const tcp6 = {
  original:
    '4c00 0180 2c00 0180 1400 0300 fd000244000100000000000000000007 1400 0400 20010db8010000000000000000000010 1c00 0280 0500 0100 06000000 0600 0200 9c400000 0600 0300 01bb0000',
  reply:
    '4c00 0280 2c00 0180 1400 0300 20010db8010000000000000000000010 1400 0400 fd000244000100000000000000000007 1c00 0280 0500 0100 06000000 0600 0200 01bb0000 0600 0300 9c400000',
  id: '0800 0c00 8853354b',
};

const listed = (header: string, { original, reply, id }: typeof tcp, ...state: readonly string[]) => ({
  type: 0x100,
  flags: 2,
  body: Buffer.from(bytes(header, original, reply, ...state, id, around), 'hex'),
});

const table = [
  listed(ipv4, tcp, confirmed, established),
  listed(ipv4, icmp, confirmed),
  listed(ipv6, tcp6, confirmed, synSent),
];

const read = {
  tcp: {
    id: 0xe51664a5,
    family: 4,
    protocol: 6,
    source: '10.244.1.7',
    destination: '198.51.100.10',
    sourcePort: 40000,
    destinationPort: 443,
    replySource: '198.51.100.10',
    replySourcePort: 443,
    replyDestination: '192.0.2.50',
    replyDestinationPort: 40000,
    established: true,
  },
  icmp: {
    id: 0x22ffd13a,
    family: 4,
    protocol: 1,
    source: '10.244.1.7',
    destination: '198.51.100.10',
    replySource: '198.51.100.10',
    replyDestination: '10.244.1.7',
  },
  tcp6: {
    id: 0x8853354b,
    family: 6,
    protocol: 6,
    source: 'fd00:244:1::7',
    destination: '2001:db8:100::10',
    sourcePort: 40000,
    destinationPort: 443,
    replySource: '2001:db8:100::10',
    replySourcePort: 443,
    replyDestination: 'fd00:244:1::7',
    replyDestinationPort: 40000,
  },
} satisfies Readonly<Record<string, Flow>>;

/** A kernel that lists a table whatever it is asked for, and keeps what it was asked. It refuses filters if told to. */
function kernel({ flows = table, refusesFilters = false } = {}) {
  const asked: string[] = [];
  const answer = async <T>(kind: string, { body }: Request, value: T): Promise<T> => {
    const text = body.toString('hex');
    asked.push(`${kind} ${text}`);
    if (refusesFilters && text.includes('0c001980')) throw new KernelError(95, 0, '');
    return value;
  };
  return {
    asked,
    dump: (request: Request) => answer('list', request, flows),
    request: (request: Request) => answer('delete', request, []),
    each: (requests: readonly Request[]) =>
      Promise.all(requests.map((request) => answer('delete', request, undefined))),
  };
}

const filters = {
  source: bytes(ipv4, '1000 0180 0c00 0180 0800 0100 0af40107', '0c00 1980 0800 0100 01000000'),
  replySource: bytes(ipv4, '1000 0280 0c00 0180 0800 0100 0af40107', '0c00 1980 0800 0200 01000000'),
  replyDestination: bytes(ipv4, '1000 0280 0c00 0180 0800 0200 c0000232', '0c00 1980 0800 0200 02000000'),
  target: bytes(
    ipv4,
    '1000 0180 0c00 0180 0800 0200 c0000232',
    '1000 0280 0c00 0180 0800 0100 c0000232',
    '1400 1980 0800 0100 02000000 0800 0200 01000000',
  ),
};

describe('a list of flows', () => {
  test('by their source holds addresses, ports and the state, after one filtered listing', async () => {
    const socket = kernel();
    assert.deepEqual(await listFlows(socket, '10.244.1.7', 'source'), [read.tcp, read.icmp]);
    assert.deepEqual(socket.asked, [`list ${filters.source}`]);
  });

  test('by where they are answered to holds those with that address after SNAT only', async () => {
    const socket = kernel();
    assert.deepEqual(await listFlows(socket, '192.0.2.50', 'replyDestination'), [read.tcp]);
    assert.deepEqual(socket.asked, [`list ${filters.replyDestination}`]);
  });

  test('of IPv6 is picked out of everything; a handshake under way is not established', async () => {
    const socket = kernel();
    assert.deepEqual(await listFlows(socket, 'fd00:244:1::7', 'source'), [read.tcp6]);
    assert.deepEqual(await listFlows(socket, 'fd00:244:1::7', 'replyDestination'), [read.tcp6]);
    assert.deepEqual(await listFlows(socket, '2001:db8:100::10', 'source'), []);
    assert.deepEqual(socket.asked, Array(3).fill(`list ${bytes(ipv6)}`));
  });

  test('of IPv4 is picked out of everything where the kernel knows no filter', async () => {
    const socket = kernel({ refusesFilters: true });
    assert.deepEqual(await listFlows(socket, '192.0.2.50', 'replyDestination'), [read.tcp]);
    assert.deepEqual(socket.asked, [`list ${filters.replyDestination}`, `list ${bytes(ipv4)}`]);
  });

  test('holds an offloaded TCP connection as established, whose state the kernel does not tell', async () => {
    const offloaded = '0800 0300 0000400e';
    const flows = [listed(ipv4, tcp, offloaded), listed(ipv4, tcp, confirmed), listed(ipv4, icmp, offloaded)];
    const states = (await listFlows(kernel({ flows }), '10.244.1.7', 'source')).map((flow) => flow.established);
    assert.deepEqual(states, [true, undefined, undefined]);
  });

  test('has no ports for protocols that keep other things there', async () => {
    const gre = { ...tcp, original: tcp.original.replace('0100 06', '0100 2f') };
    const [flow] = await listFlows(kernel({ flows: [listed(ipv4, gre, confirmed)] }), '10.244.1.7', 'source');
    assert.deepEqual([flow?.protocol, flow?.sourcePort, flow?.destinationPort], [47, undefined, undefined]);
  });
});

describe('a deletion', () => {
  test('of some flows lists them, asks for each, and names what it deletes as it was listed', async () => {
    const socket = kernel({ refusesFilters: true });
    const seen: Flow[] = [];
    await deleteFlows(socket, '10.244.1.7', { only: (flow) => seen.push(flow) > 0 && flow.protocol === 1 });
    assert.deepEqual(seen, [read.tcp, read.icmp]);
    assert.deepEqual(socket.asked, [
      `list ${filters.source}`,
      `list ${bytes(ipv4)}`,
      `delete ${bytes(ipv4, icmp.original, icmp.id)}`,
    ]);
  });

  test('of some flows never leaves the choice to the kernel', async () => {
    const socket = kernel();
    await deleteFlows(socket, '10.244.1.7', { only: () => false });
    assert.deepEqual(socket.asked, [`list ${filters.source}`, `list ${filters.replySource}`]);
  });

  test('of all that is answered to an IPv4 address, or was sent to it alone, is a request for each', async () => {
    const socket = kernel();
    await deleteFlowsTo(socket, '192.0.2.50');
    assert.deepEqual(socket.asked, [`delete ${filters.replyDestination}`, `delete ${filters.target}`]);
  });

  test('of all that is answered to an IPv6 address takes one by one', async () => {
    const socket = kernel();
    await deleteFlowsTo(socket, 'fd00:244:1::7');
    assert.deepEqual(socket.asked, [`list ${bytes(ipv6)}`, `delete ${bytes(ipv6, tcp6.original, tcp6.id)}`]);
  });
});
