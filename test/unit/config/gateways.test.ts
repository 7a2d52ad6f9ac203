import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parsePrefix, prefixLength } from '../../../src/base/address.ts';
import { vridOf } from '../../../src/policy/vrid.ts';
import { gateway as exit, node, read, readFileOf, refusalOf } from './samples.ts';

const nodes = [node];
const choices = '"interface" (leave from the pod’s node), "gateways" (leave from a gateway), or both';
const addressesExpected = 'the addresses that pods are seen with, whichever of the "gateways" they leave by';
const oneFamily = 'the tunnel has one family, so list the IPv4 or the IPv6 addresses of all gateways';
const senders = (family: number) =>
  'VXLAN authenticates nobody, so a gateway takes packets from known nodes only: ' +
  `list the IPv${family} addresses of all nodes in "nodes", or their ranges in "tunnel.allowedSources"`;

/** Its gateways elect. */
const two = { ...exit, gateways: ['172.18.0.3', '172.18.0.4'] };
const turned = { gateways: ['172.18.0.4', '172.18.0.3'], vrid: vridOf(two) };

/** What stands in the policy file → the lines of the answer, without the name of the file. */
const badDocuments: [document: object, ...lines: string[]][] = [
  [{ exits: [{ name: 'x' }] }, `#/exits/0: expected ${choices}, got {"name":"x"}`],
  [
    { exits: [{ name: 'x', nextHop: '192.0.2.1' }], nodes },
    `#/exits/0: expected ${choices}, got {"name":"x","nextHop":"192.0.2.1"}`,
    '#/exits/0/interface: expected the interface that "nextHop" lies behind, got nothing',
  ],
  [
    { exits: [{ ...exit, nextHop: ['192.0.2.1', 'fe80::1'] }], nodes },
    '#/exits/0/interface: expected the interface that "nextHop" lies behind, got nothing',
  ],
  [
    { exits: [{ name: 'x', gateways: ['172.18.0.3'] }], nodes },
    `#/exits/0/addresses: expected ${addressesExpected}, got nothing`,
  ],
  [
    { exits: [{ ...exit, gateways: '172.18.0.3' }], nodes },
    '#/exits/0/gateways: expected a list of IP addresses, got "172.18.0.3", did you mean ["172.18.0.3"]?',
  ],
  [
    { exits: [{ ...exit, gateways: [] }], nodes },
    '#/exits/0/gateways: expected a list of IP addresses with at least one in it, got []',
  ],
  [
    { exits: [{ ...exit, gateways: ['172.18.0.3', 'gw', '::1'] }], nodes },
    '#/exits/0/gateways/1: expected an IP address, got "gw"',
    '#/exits/0/gateways/2: expected a unicast IP address, got "::1"',
  ],
  [
    { exits: [{ ...exit, gateways: ['fd00::3', 'FD00:0::3'] }], nodes },
    '#/exits/0/gateways: expected a list with each address once, got ["fd00::3","FD00:0::3"]',
  ],
  [
    { exits: [{ ...exit, onUnavailable: 'leak' }], nodes },
    '#/exits/0/onUnavailable: expected one of "drop", "node", got "leak"',
  ],
  [
    { exits: [{ ...exit, gateways: ['172.18.0.3', 'fd00::3'] }], nodes },
    `#/exits/0/gateways/1: gateway fd00::3 is not of the family of 172.18.0.3 at /p.json#/exits/0/gateways/0: ${oneFamily}`,
  ],
  [
    { exits: [exit, { ...exit, name: 'other', gateways: ['fd00::3'], addresses: ['192.0.2.77'] }], nodes },
    `#/exits/1/gateways/0: gateway fd00::3 is not of the family of 172.18.0.3 at /p.json#/exits/0/gateways/0: ${oneFamily}`,
  ],
  [
    { exits: [{ ...exit, announce: 'kube-vip' }], nodes },
    '#/exits/0/announce: expected one of "vrrp", "elsewhere", got "kube-vip"',
  ],
  [{ exits: [{ ...exit, vrid: 256 }], nodes }, '#/exits/0/vrid: expected a whole number from 1 to 255, got 256'],
  [
    { exits: [{ name: 'local', interface: 'eth1', vrid: 1, announce: 'elsewhere' }], nodes },
    '#/exits/0/gateways: expected the gateways of which one is given the addresses, got nothing',
    '#/exits/0/gateways: expected the gateways that "vrid" is the number of, got nothing',
  ],
  [
    { exits: [two, { ...two, name: 'other', addresses: ['192.0.2.77'], vrid: 7 }], nodes },
    `#/exits/1/vrid: VRID 7, and the exit at /p.json#/exits/0 with the same gateways has ${vridOf(two)}: give both the same "vrid"`,
  ],
  [
    { exits: [two, { ...two, name: 'other', addresses: ['192.0.2.77'], ...turned }], nodes },
    `#/exits/1/vrid: VRID ${vridOf(two)}, which the exit at /p.json#/exits/0 with other gateways has, too: set "vrid" of one to another number`,
  ],
  [{ exits: [{ name: 'local', interface: 'eth1' }, exit] }, `#/exits/1/gateways/0: ${senders(4)}`],
  [{ exits: [exit], nodes: [], tunnel: { allowedSources: [] } }, `#/exits/0/gateways/0: ${senders(4)}`],
  [
    { exits: [exit], nodes: [{ address: 'fd00::5' }], tunnel: { allowedSources: ['fd00::/64'] } },
    `#/exits/0/gateways/0: ${senders(4)}`,
  ],
  [{ exits: [{ ...exit, gateways: ['fd00::3'] }], nodes }, `#/exits/0/gateways/0: ${senders(6)}`],
  [
    { exits: [exit, { ...exit, name: 'other', gateways: ['172.18.0.4'], addresses: ['172.18.0.33'] }], nodes },
    `#/exits/1/addresses/0: 172.18.0.33 is already at /p.json#/exits/0/addresses/0: an address is on one gateway at a time, so each exit with gateways needs addresses of its own`,
  ],
  [
    { exits: [{ ...exit, addresses: [node.address] }], nodes },
    `#/exits/0/addresses/0: ${node.address} is the address of a node, and cannot be on any other gateway: take one that no node has`,
  ],
  [{ tunnel: [] }, '#/tunnel: expected an object, got []'],
  [{ tunnel: { vni: 0 } }, '#/tunnel/vni: expected a whole number from 1 to 16777215, got 0'],
  [{ tunnel: { vni: 16777216 } }, '#/tunnel/vni: expected a whole number from 1 to 16777215, got 16777216'],
  [{ tunnel: { port: 0 } }, '#/tunnel/port: expected a whole number from 1 to 65535, got 0'],
  [{ tunnel: { port: 65536 } }, '#/tunnel/port: expected a whole number from 1 to 65535, got 65536'],
  [{ tunnel: { replyPath: 'overlay' } }, '#/tunnel/replyPath: expected one of "direct", "tunnel", got "overlay"'],
  [
    { tunnel: { allowedSources: '172.18.0.0/16' } },
    '#/tunnel/allowedSources: expected a list of address ranges, got "172.18.0.0/16", did you mean ["172.18.0.0/16"]?',
  ],
  [
    { tunnel: { allowedSources: ['172.18'] } },
    '#/tunnel/allowedSources/0: expected an IP address range like "10.0.0.0/8", got "172.18"',
  ],
  [
    { tunnel: { reply: 'tunnel' } },
    '#/tunnel/reply: unknown key, expected one of "vni", "port", "replyPath", "allowedSources"',
  ],
  [{ tunnel: { allowedSource: [] } }, '#/tunnel/allowedSource: unknown key, did you mean "allowedSources"?'],
];

describe('a policy file with a mistake about gateways', () => {
  for (const [document, ...lines] of badDocuments) {
    test(`${JSON.stringify(document)} is refused`, () => {
      const refusal = refusalOf(() => readFileOf(document));
      assert.deepEqual(refusal, ['invalid-configuration', ...lines.map((line) => `/p.json${line}`)]);
    });
  }
});

describe('an exit with gateways', () => {
  test('needs nothing more than addresses and a known node', () => {
    assert.deepEqual(read({ exits: [exit], nodes }).exits, [
      {
        name: 'internet',
        id: 2313,
        gateways: ['172.18.0.3', '172.18.0.4'],
        nextHops: {},
        addresses: ['172.18.0.33', 'fd00:172::33'],
        annotationNamespaces: [],
        onUnavailable: 'drop',
      },
    ]);
  });

  test('may name interface and next hop of the gateway', () => {
    const addresses = ['172.18.0.33'];
    const { exits } = read({ exits: [{ ...exit, interface: 'eth1', nextHop: '192.0.2.1', addresses }], nodes });
    assert.deepEqual([exits[0]?.interface, exits[0]?.nextHops], ['eth1', { 4: '192.0.2.1' }]);
  });

  test('has its gateways in canonical form, in the order of preference', () => {
    const gateways = ['FD00:0::4', 'fd00::0003'];
    const { exits } = read({ exits: [{ ...exit, gateways }], nodes: [{ address: 'fd00::5' }] });
    assert.deepEqual(exits[0]?.gateways, ['fd00::4', 'fd00::3']);
  });

  test('has gateways that are never steered to', () => {
    const { clusterCIDRs } = read({ exits: [exit], nodes });
    assert.deepEqual(clusterCIDRs, ['169.254.0.0/16', '172.18.0.3/32', '172.18.0.4/32', '172.18.0.5/32', 'fe80::/10']);
  });

  test('knows its nodes from allowed sources, too', () => {
    const { tunnel } = read({ exits: [exit], tunnel: { allowedSources: ['172.18.9.9/16'] } });
    assert.deepEqual(tunnel.sources, ['172.18.0.0/16']);
  });

  test('is no contradiction to nodes of the other family beside those of its own', () => {
    assert.doesNotThrow(() => read({ exits: [exit], nodes: [{ address: 'fd00::5' }, node] }));
  });

  for (const onUnavailable of ['drop', 'node']) {
    test(`takes onUnavailable "${onUnavailable}" as it is`, () => {
      assert.equal(read({ exits: [{ ...exit, onUnavailable }], nodes }).exits[0]?.onUnavailable, onUnavailable);
    });
  }
});

describe('who may send to the tunnel', () => {
  test('are nodes, gateways and allowed sources of both documents, none inside another', () => {
    const file = { exits: [exit], nodes: [{ address: '192.0.2.7' }, { address: 'fd00::5' }] };
    const entry = { nodes, tunnel: { allowedSources: ['172.18.0.0/30', '192.0.2.7'] }, policyFile: '/p.json' };
    const { tunnel } = read(entry, () => JSON.stringify({ ...file, tunnel: { allowedSources: ['198.51.100.1/24'] } }));
    assert.deepEqual(tunnel.sources, [
      '172.18.0.0/30',
      '172.18.0.4/32',
      '172.18.0.5/32',
      '192.0.2.7/32',
      '198.51.100.0/24',
      'fd00::5/128',
    ]);
  });
});

describe('the tunnel', () => {
  test('takes the extremes of its numbers', () => {
    for (const numbers of [
      { vni: 1, port: 1 },
      { vni: 16777215, port: 65535 },
    ]) {
      const { vni, port } = read({ tunnel: numbers }).tunnel;
      assert.deepEqual({ vni, port }, numbers);
    }
  });

  test('has each of its values from the chain entry, else from the file, else by default', () => {
    const file = { tunnel: { vni: 7, port: 7000 } };
    const { tunnel } = read({ tunnel: { vni: 8 }, policyFile: '/p.json' }, () => JSON.stringify(file));
    assert.deepEqual(tunnel, { vni: 8, port: 7000, replyPath: 'direct', sources: [] });
  });
});

describe('replies by the tunnel', () => {
  const tunnel = { replyPath: 'tunnel' };
  const withRanges = (...lists: string[][]) =>
    lists.map((podCIDRs, i) => ({ address: `172.18.0.${i + 10}`, podCIDRs }));
  const needed = (who: string) =>
    `"tunnel" needs to know the nodes of pods, but no ${who} has "podCIDRs": list them, or set "direct"`;
  const refusalWith = (document: object) => refusalOf(() => readFileOf({ tunnel, ...document }));

  test('need the ranges of pods', () => {
    const expected = ['invalid-configuration', `/p.json#/tunnel/replyPath: ${needed('node')}`];
    assert.deepEqual(refusalWith({}), expected);
    assert.deepEqual(refusalWith({ nodes: [node, { address: '192.0.2.7', podCIDRs: [] }] }), expected);
  });

  test('need them of nodes that are ends of the tunnel', () => {
    assert.deepEqual(refusalWith({ exits: [exit], nodes: [node, { address: 'fd00::5', podCIDRs: ['10.0.0.0/24'] }] }), [
      'invalid-configuration',
      `/p.json#/tunnel/replyPath: ${needed('node with an IPv4 address')}`,
    ]);
  });

  test('are told where the value that counts stands', () => {
    const inEntry = () =>
      read({ tunnel, policyFile: '/p.json' }, () => JSON.stringify({ tunnel: { replyPath: 'direct' } }));
    const expected = `network configuration#/tunnel/replyPath: ${needed('node')}`;
    assert.deepEqual(refusalOf(inEntry), ['invalid-configuration', expected]);
    assert.doesNotThrow(() =>
      read({ tunnel: { replyPath: 'direct' }, policyFile: '/p' }, () => JSON.stringify({ tunnel })),
    );
  });

  test('take any ranges of one node, and those of different nodes side by side', () => {
    const document = {
      tunnel,
      nodes: withRanges(['10.0.0.0/16', '10.0.1.0/24', '10.0.1.0/24'], ['10.1.0.0/24', 'fd00::/64']),
    };
    assert.equal(readFileOf(document).tunnel.replyPath, 'tunnel');
  });

  test('refuse ranges that two nodes share', () => {
    const message = (range: string, other: string) =>
      `${range} of node 172.18.0.11 overlaps ${other} of node 172.18.0.10 at /p.json#/nodes/0/podCIDRs/0: ` +
      'with replyPath "tunnel", each range must belong to one node';
    assert.deepEqual(
      refusalWith({ nodes: withRanges(['10.0.0.0/16', '10.0.1.0/24'], ['fd00::/64', '10.0.1.0/25', '10.0.0.0/16']) }),
      [
        'invalid-configuration',
        `/p.json#/nodes/1/podCIDRs/2: ${message('10.0.0.0/16', '10.0.0.0/16')}`,
        `/p.json#/nodes/1/podCIDRs/1: ${message('10.0.1.0/25', '10.0.0.0/16')}`,
      ],
    );
  });

  test('do not mind that ranges are shared when replies go directly, or with a node of the other family', () => {
    const shared = [['10.0.0.0/24'], ['10.0.0.0/24']];
    assert.doesNotThrow(() => readFileOf({ nodes: withRanges(...shared) }));
    const bothFamilies = ['172.18.0.5', 'fd00::5'].map((address) => ({ address, podCIDRs: ['10.0.0.0/24'] }));
    assert.doesNotThrow(() => readFileOf({ tunnel, exits: [exit], nodes: bothFamilies }));
  });

  const range = fc
    .tuple(fc.integer({ min: 0, max: 31 }), fc.integer({ min: 1, max: 5 }))
    .map(([top, length]) => parsePrefix(`10.${top << 3}.0.0/${8 + length}`) ?? '');

  /** Whether two ranges of `range` share an address, by the first bits of their second bytes. */
  const meet = (a: string, b: string): boolean => {
    const shift = 16 - Math.min(prefixLength(a), prefixLength(b));
    const bits = (range: string) => Number(range.split('.')[1]) >> shift;
    return bits(a) === bits(b);
  };

  test('are refused exactly when ranges of two nodes meet, whatever the order', () => {
    fc.assert(
      fc.property(fc.array(range, { minLength: 1, maxLength: 4 }), fc.array(range, { maxLength: 4 }), (mine, yours) => {
        const action = () => readFileOf({ tunnel, nodes: withRanges(mine, yours) });
        if (mine.some((a) => yours.some((b) => meet(a, b))))
          assert.equal(refusalOf(action)[0], 'invalid-configuration');
        else assert.doesNotThrow(action);
      }),
      { numRuns: 200 },
    );
  });
});

test('the address of the only gateway may be the egress address as well', () => {
  const own = { ...exit, gateways: ['172.18.0.3'], addresses: ['172.18.0.3'] };
  const { exits } = read({ exits: [own], nodes: [...nodes, { address: '172.18.0.3' }] });
  assert.deepEqual(exits[0]?.addresses, ['172.18.0.3']);
});
