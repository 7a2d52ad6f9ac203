import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { EgressError } from '../../../src/base/errors.ts';
import { readChainEntry } from '../../../src/config/read.ts';
import { chainEntrySchema } from '../../../src/config/schema.ts';
import { exit, policy, read, readFileOf, refusalOf } from './samples.ts';

/** The end of a message that proposes another value, for those of these tests that have one. */
function proposal(value: unknown): string {
  const meant = proposals.get(value);
  return meant === undefined ? '' : `, did you mean ${JSON.stringify(meant)}?`;
}

const proposals = new Map<unknown, unknown>([
  ...['16384', '100', '1024', '2'].map((text): [string, number] => [text, Number(text)]),
  ['Default', 'default'],
  ...['tcp/25', 'TCP:25', '25', 'tcp: 25'].map((text): [string, string] => [text, 'tcp:25']),
]);

const nameExpected = 'a name of at most 63 letters, digits, ".", "_" and "-" that begins with a letter or digit';
const rangeExpected = 'an IP address range like "10.0.0.0/8"';
const flagExpected = 'a number with exactly one bit set, from 0x4000 to 0x80000000';
const interfaceExpected = 'an interface name of at most 15 bytes without "/", ":" and white space';
const globExpected = 'a namespace of lower-case letters, digits and "-", with "*" and "?" as wildcards';

/** What stands in the policy file → the lines of the answer, without the name of the file. */
const badDocuments: [document: unknown, ...lines: string[]][] = [
  [null, '#: expected an object, got null'],
  [[], '#: expected an object, got []'],
  [{ $schema: 1 }, '#/$schema: expected a text, got 1'],
  [{ polices: [] }, '#/polices: unknown key, did you mean "policies"?'],
  [
    { 'a/b': 1 },
    '#/a~1b: unknown key, expected one of "$schema", "kubernetes", "clusterCIDRs", "nodes", "vrrp", "tunnel", "fwmark", "routeTable", "rulePriority", "checkSources", "extraSources", "exits", "policies"',
  ],
  [
    { clusterCIDRs: '10.0.0.0/8' },
    '#/clusterCIDRs: expected a list of address ranges, got "10.0.0.0/8", did you mean ["10.0.0.0/8"]?',
  ],
  [
    { clusterCIDRs: ['10.0.0.0/33', 'x'] },
    `#/clusterCIDRs/0: expected ${rangeExpected}, got "10.0.0.0/33"`,
    `#/clusterCIDRs/1: expected ${rangeExpected}, got "x"`,
  ],
  [{ nodes: {} }, '#/nodes: expected a list of nodes, got {}'],
  [
    { nodes: [{ podCIDRs: ['::1/129'] }] },
    '#/nodes/0/address: expected an IP address, got nothing',
    `#/nodes/0/podCIDRs/0: expected ${rangeExpected}, got "::1/129"`,
  ],
  [
    { nodes: [{ address: '127.0.0.1', ip: '' }] },
    '#/nodes/0/address: expected a unicast IP address, got "127.0.0.1"',
    '#/nodes/0/ip: unknown key, did you mean "address"?',
  ],
  [{ nodes: [{ address: '::2' }, { address: '0::2' }] }, '#/nodes/1: node ::2 is already at /p.json#/nodes/0'],
  ...[0, 0x2000, 0x3000000, 0x100000000, 16384.5, -0x80000000, '0x3', '16384', '0x100000000', null].map(
    (fwmark): [unknown, string] => [
      { fwmark },
      `#/fwmark: expected ${flagExpected}, got ${JSON.stringify(fwmark)}${proposal(fwmark)}`,
    ],
  ),
  ...[9, 40951, '100'].map((interval): [unknown, string] => [
    { vrrp: { interval } },
    `#/vrrp/interval: expected a whole number from 10 to 40950, got ${JSON.stringify(interval)}${proposal(interval)}`,
  ]),
  [{ vrrp: { preempt: 1 } }, '#/vrrp/preempt: expected true or false, got 1'],
  [{ vrrp: { vrid: 1 } }, '#/vrrp/vrid: unknown key, expected one of "interval", "preempt"'],
  [{ tunnel: null }, '#/tunnel: expected an object, got null'],
  [{ routeTable: 255 }, '#/routeTable: expected a whole number from 256 to 4294950912, got 255'],
  [
    { routeTable: '500000' },
    '#/routeTable: expected a whole number from 256 to 4294950912, got "500000", did you mean 500000?',
  ],
  [{ rulePriority: 32761 }, '#/rulePriority: expected a whole number from 1 to 32760, got 32761'],
  [
    { kubernetes: 'yes' },
    '#/kubernetes: expected true, false, or an object like {"cilium": true, "kubeVip": true}, got "yes", did you mean true?',
  ],
  [{ checkSources: 'yes' }, '#/checkSources: expected true or false, got "yes", did you mean true?'],
  [{ extraSources: {} }, '#/extraSources: expected a list of sources, got {}'],
  [{ exits: exit }, '#/exits: expected a list of exits, got {"name":"partners","interface":"eth1"}'],
  [
    { exits: [{}] },
    `#/exits/0/name: expected ${nameExpected}, got nothing`,
    '#/exits/0: expected "interface" (leave from the pod’s node), "gateways" (leave from a gateway), or both, got {}',
  ],
  [{ exits: [{ ...exit, name: 'a,b' }] }, `#/exits/0/name: expected ${nameExpected}, got "a,b"`],
  ...['node', 'drop'].map((name): [unknown, string] => [
    { exits: [{ ...exit, name }] },
    `#/exits/0/name: expected another name than those of the built-in exits "node" and "drop", got "${name}"`,
  ]),
  ...[0, 16384, 1.5].map((id): [unknown, string] => [
    { exits: [{ ...exit, id }] },
    `#/exits/0/id: expected a whole number from 1 to 16382, got ${id}`,
  ]),
  ...['', '.', '..', 'eth0:1', 'a/b', 'a b', 'a\u0000b', 'sixteen-letters-', 'äöüäöüäö'].map(
    (name): [unknown, string] => [
      { exits: [{ ...exit, interface: name }] },
      `#/exits/0/interface: expected ${interfaceExpected}, got ${JSON.stringify(name)}`,
    ],
  ),
  [{ exits: [{ ...exit, nextHop: '192.168.0' }] }, '#/exits/0/nextHop: expected an IP address, got "192.168.0"'],
  [
    { exits: [{ ...exit, nextHop: '192.168.0.1/24' }] },
    '#/exits/0/nextHop: expected an IP address, got "192.168.0.1/24", did you mean "192.168.0.1"?',
  ],
  [{ exits: [{ ...exit, nextHop: 7 }] }, '#/exits/0/nextHop: expected an IP address or a list of IP addresses, got 7'],
  [{ exits: [{ ...exit, nextHop: ['fe80::1', 'x'] }] }, '#/exits/0/nextHop/1: expected an IP address, got "x"'],
  [
    { exits: [{ ...exit, nextHop: [] }] },
    '#/exits/0/nextHop: expected a list of IP addresses with at least one in it, got []',
  ],
  [
    { exits: [{ ...exit, nextHop: ['1.1.1.1', '1.1.1.2'] }] },
    '#/exits/0/nextHop: expected at most one address of each family, got ["1.1.1.1","1.1.1.2"]',
  ],
  [
    { exits: [{ ...exit, addresses: '1.1.1.1' }] },
    '#/exits/0/addresses: expected a list of IP addresses, got "1.1.1.1", did you mean ["1.1.1.1"]?',
  ],
  [
    { exits: [{ ...exit, addresses: [] }] },
    '#/exits/0/addresses: expected a list of IP addresses with at least one in it, got []',
  ],
  ...['0.0.0.0', '127.0.0.1', '224.0.0.1', '255.255.255.255', '::', '::1', 'ff02::1'].map(
    (address): [unknown, string] => [
      { exits: [{ ...exit, addresses: [address] }] },
      `#/exits/0/addresses/0: expected a unicast IP address, got "${address}"`,
    ],
  ),
  [
    { exits: [{ ...exit, nextHop: ['::2', '::3'] }] },
    '#/exits/0/nextHop: expected at most one address of each family, got ["::2","::3"]',
  ],
  [
    { exits: [{ ...exit, addresses: ['::2', '0::2'] }] },
    '#/exits/0/addresses: expected a list with each address once, got ["::2","0::2"]',
  ],
  [
    { exits: [{ ...exit, addresses: Array.from({ length: 17 }, (_, i) => `192.0.2.${i + 1}`) }] },
    '#/exits/0/addresses: expected at most 16 addresses of each family, got ["192.0.2.1","192.0.2.2","192.0.2.3","192.0.2.4","192.0.2.5"…',
  ],
  ...[15, 32769, '1024'].map((portsPerPod): [unknown, string] => [
    { exits: [{ ...exit, portsPerPod }] },
    `#/exits/0/portsPerPod: expected a whole number from 16 to 32768, got ${JSON.stringify(portsPerPod)}${proposal(portsPerPod)}`,
  ]),
  ...[0, 64513, 1.5, '2'].map((portBlocksPerNamespace): [unknown, string] => [
    { exits: [{ ...exit, portsPerPod: 1024, portBlocksPerNamespace }] },
    `#/exits/0/portBlocksPerNamespace: expected a whole number from 1 to 64512, got ${JSON.stringify(portBlocksPerNamespace)}${proposal(portBlocksPerNamespace)}`,
  ]),
  [
    { exits: [{ ...exit, portBlocksPerNamespace: 2 }] },
    '#/exits/0/portsPerPod: expected how many ports the blocks have that "portBlocksPerNamespace" counts, got nothing',
  ],
  [
    { exits: [{ ...exit, onlink: true }] },
    '#/exits/0/nextHop: expected the router that "onlink" is about, got nothing',
  ],
  [
    { exits: [{ ...exit, addressesOn: ['lo'] }] },
    '#/exits/0/addresses: expected the addresses that interfaces of "addressesOn" hold, got nothing',
  ],
  [
    { exits: [{ ...exit, addressPerFlow: true, portsPerPod: 1024 }] },
    '#/exits/0/portsPerPod: expected no "portsPerPod" beside "addressPerFlow": a block of ports belongs to one pod on one address, got 1024',
  ],
  [
    { exits: [{ ...exit, addressPerFlow: 'yes' }] },
    '#/exits/0/addressPerFlow: expected true or false, got "yes", did you mean true?',
  ],
  [
    { exits: [{ ...exit, annotationNamespaces: ['*', 'Partner'] }] },
    '#/exits/0/annotationNamespaces/1: expected a namespace of lower-case letters, digits and "-", with "*" and "?" as wildcards, got "Partner", did you mean "partner"?',
  ],
  [
    { exits: [{ ...exit, nextHop: '1.1.1.1', addresses: ['1.1.1.2', '::2'] }] },
    '#/exits/0/nextHop: expected next hops of the same families as in addresses, got "1.1.1.1"',
  ],
  [
    { exits: [{ ...exit, nextHop: ['1.1.1.1', '::1:1'], addresses: ['1.1.1.2'] }] },
    '#/exits/0/nextHop: expected next hops of the same families as in addresses, got ["1.1.1.1","::1:1"]',
  ],
  [{ exits: [{ ...exit, nexthop: '1.1.1.1' }] }, '#/exits/0/nexthop: unknown key, did you mean "nextHop"?'],
  [{ exits: [exit, { ...exit, interface: 'eth2' }] }, '#/exits/1: exit "partners" is already at /p.json#/exits/0'],
  [
    { exits: [exit, { name: 'other', interface: 'eth2', id: 14454 }] },
    '#/exits/1/id: exits "partners" and "other" both have the id 14454: set "id" of one to another number',
  ],
  [
    {
      exits: [
        { name: 'e620', interface: 'a' },
        { name: 'e954', interface: 'b' },
      ],
    },
    '#/exits/1: exits "e620" and "e954" both have the id 16330: set "id" of one to another number',
  ],
  [{ policies: [3] }, '#/policies/0: expected an object, got 3'],
  [
    { policies: [{}] },
    `#/policies/0/name: expected ${nameExpected}, got nothing`,
    '#/policies/0/namespaces: expected a list of namespaces, got nothing',
    '#/policies/0/exit: expected the name of an exit, got nothing',
  ],
  [
    { policies: [{ ...policy, exit: 'node', namespaces: [] }] },
    '#/policies/0/namespaces: expected a list of namespaces with at least one in it, got []',
  ],
  ...['', 'Default', 'a.b', 'a b', '[a]', 'a'.repeat(64)].map((glob): [unknown, string] => [
    { policies: [{ ...policy, exit: 'node', namespaces: ['*', glob] }] },
    `#/policies/0/namespaces/1: expected ${globExpected}, got ${glob.length < 59 ? `"${glob}"` : `"${glob.slice(0, 59)}…`}${proposal(glob)}`,
  ]),
  [
    { policies: [{ ...policy, exit: 'node', destinations: [] }] },
    '#/policies/0/destinations: expected a list of address ranges with at least one in it, got []',
  ],
  [
    { policies: [{ ...policy, exit: 'node', except: ['all'] }] },
    `#/policies/0/except/0: expected ${rangeExpected}, got "all", did you mean "0.0.0.0/0"?`,
  ],
  [
    { policies: [{ ...policy, exit: 'node', priority: '1' }] },
    '#/policies/0/priority: expected a whole number from -1000000 to 1000000, got "1", did you mean 1?',
  ],
  [
    { policies: [{ ...policy, exit: 'node', port: ['tcp:25'] }] },
    '#/policies/0/port: unknown key, did you mean "ports"?',
  ],
  [
    { policies: [{ ...policy, exit: 'node', ports: [] }] },
    '#/policies/0/ports: expected a list of ports with at least one in it, got []',
  ],
  ...['tcp/25', 'TCP:25', 'tcp:0', 'tcp:65536', 'tcp:2-1', 'tcp:', 'tcp:1-', 'icmp:8', 'gre', '25', 'tcp: 25'].map(
    (ports): [unknown, string] => [
      { policies: [{ ...policy, exit: 'node', ports: ['udp', ports] }] },
      `#/policies/0/ports/1: expected "tcp", "udp", "sctp" or "icmp", with a port or range of ports like "tcp:443" or "udp:5060-5061" (icmp has none), got ${JSON.stringify(ports)}${proposal(ports)}`,
    ],
  ),
  [
    { policies: [{ ...policy, exit: 'node', podSelector: { app: 'web' } }] },
    '#/policies/0/podSelector/app: unknown key, expected one of "matchLabels", "matchExpressions"',
  ],
  [
    { policies: [{ ...policy, exit: 'node', podSelector: { matchLabels: { app: 1 } } }] },
    '#/policies/0/podSelector/matchLabels/app: expected the value of a label: at most 63 letters, digits, ".", "_" and "-", or nothing, got 1',
  ],
  [
    {
      policies: [{ ...policy, exit: 'node', namespaceSelector: { matchExpressions: [{ key: '-', operator: 'in' }] } }],
    },
    '#/policies/0/namespaceSelector/matchExpressions/0/key: expected the key of a label, like "app" or "example.org/team", got "-"',
    '#/policies/0/namespaceSelector/matchExpressions/0/operator: expected one of "In", "NotIn", "Exists", "DoesNotExist", got "in"',
  ],
  [
    { policies: [{ ...policy, exit: 'node', podSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } }] },
    '#/policies/0/podSelector/matchExpressions/0: expected "values" with at least one in it for In and NotIn, and none for Exists and DoesNotExist, got {"key":"a","operator":"In"}',
  ],
  [{ policies: [{ ...policy, exit: 'node', optIn: 1 }] }, '#/policies/0/optIn: expected true or false, got 1'],
  [
    {
      policies: [
        { ...policy, exit: 'node' },
        { ...policy, exit: 'drop' },
      ],
    },
    '#/policies/1: policy "p" is already at /p.json#/policies/0',
  ],
  [
    { exits: [exit], policies: [{ ...policy, exit: 'partner' }] },
    '#/policies/0/exit: unknown exit "partner", did you mean "partners"?',
  ],
  [
    { exits: [exit], policies: [{ ...policy, exit: 'vpn' }] },
    '#/policies/0/exit: unknown exit "vpn", expected one of "partners", "node", "drop"',
  ],
];

describe('a policy file with a mistake', () => {
  for (const [document, ...lines] of badDocuments) {
    test(`${JSON.stringify(document)} is refused`, () => {
      const refusal = refusalOf(() => readFileOf(JSON.stringify(document)));
      assert.deepEqual(refusal, ['invalid-configuration', ...lines.map((line) => `/p.json${line}`)]);
    });
  }
});

/** Options of the chain entry → the line of the answer, without the name of the source. */
const badEntries: [entry: object, line: string][] = [
  [{ type: 1 }, '#/type: expected a text, got 1'],
  [{ name: 1 }, '#/name: expected a text, got 1'],
  [{ cniVersion: 1 }, '#/cniVersion: expected a text, got 1'],
  [{ capabilities: [] }, '#/capabilities: expected an object, got []'],
  [{ capabilities: { portMappings: 1 } }, '#/capabilities/portMappings: expected true or false, got 1'],
  [{ policyFile: 'policy.json' }, '#/policyFile: expected an absolute path, got "policy.json"'],
  [{ node: '172.18.0.5/16' }, '#/node: expected an IP address, got "172.18.0.5/16", did you mean "172.18.0.5"?'],
  [{ node: '127.0.0.1' }, '#/node: expected a unicast IP address, got "127.0.0.1"'],
  [{ dataDir: '' }, '#/dataDir: expected an absolute path, got ""'],
  [{ logFile: '/var/log/\n' }, '#/logFile: expected an absolute path, got "/var/log/\\n", did you mean "/var/log/"?'],
  [{ draining: 'yes' }, '#/draining: expected true or false, got "yes", did you mean true?'],
  [
    { logLevel: 'verbose' },
    '#/logLevel: expected one of "trace", "debug", "info", "warn", "error", "fatal", "silent", got "verbose"',
  ],
  [{ exits: [{ ...exit, id: 0 }] }, '#/exits/0/id: expected a whole number from 1 to 16382, got 0'],
  [{ policyfile: '/p' }, '#/policyfile: unknown key, did you mean "policyFile"?'],
];

describe('a chain entry with a mistake', () => {
  for (const [entry, line] of badEntries) {
    test(`${JSON.stringify(entry)} is refused`, () => {
      assert.deepEqual(
        refusalOf(() => read(entry)),
        ['invalid-configuration', `network configuration${line}`],
      );
    });
  }

  test('that is no object at all is refused', () => {
    for (const stdin of [undefined, null, 'egress', []]) {
      const got = stdin === undefined ? 'nothing' : JSON.stringify(stdin);
      const lines = ['invalid-configuration', `network configuration#: expected an object, got ${got}`];
      assert.deepEqual(
        refusalOf(() => readChainEntry(stdin)),
        lines,
      );
    }
  });
});

test('every option that has a form of its own has a mistake in the tables above', () => {
  const anything = ['runtimeConfig', 'args', 'prevResult'];
  const options = Object.keys(chainEntrySchema.def.shape).filter((option) => !anything.includes(option));
  const pointers = [...badDocuments, ...badEntries].flatMap(([, ...lines]) =>
    lines.map((line) => line.split(/[/:]/)[1]),
  );
  assert.deepEqual(
    options.filter((option) => !pointers.includes(option)),
    [],
  );
});

describe('what is wrong in the form hides nothing', () => {
  const exitLines = (part: object) =>
    refusalOf(() => readFileOf({ exits: [{ ...exit, ...part }] }))
      .slice(1)
      .map((line) => line.replace('/p.json#/exits/0', ''))
      .sort();

  test('of an exit: its parts are judged together, too', () => {
    assert.deepEqual(
      exitLines({ name: 7, interface: undefined, addresses: ['x', '192.0.2.1', '192.0.2.1'], nextHop: ['fd00::1', 8] }),
      [
        `/addresses/0: expected an IP address, got "x"`,
        '/addresses: expected a list with each address once, got ["x","192.0.2.1","192.0.2.1"]',
        '/interface: expected the interface that "nextHop" lies behind, got nothing',
        `/name: expected ${nameExpected}, got 7`,
        '/nextHop/1: expected an IP address, got 8',
        ': expected "interface" (leave from the pod’s node), "gateways" (leave from a gateway), or both, got {"name":7,"addresses":["x","192.0.2.1","192.0.2.1"],"nextHop…',
      ].sort(),
    );
    assert.deepEqual(exitLines({ portsPerPod: 64, addressPerFlow: true, onUnavailable: 'leak' }), [
      '/onUnavailable: expected one of "drop", "node", got "leak"',
      '/portsPerPod: expected no "portsPerPod" beside "addressPerFlow": a block of ports belongs to one pod on one address, got 64',
    ]);
  });

  test('of a chain entry: keys that are there twice', () => {
    const text = '{"type":"egress","dataDir":"x","type":"egress"}';
    assert.deepEqual(
      refusalOf(() => readChainEntry(JSON.parse(text), text)),
      [
        'invalid-configuration',
        'network configuration#/type: the key is there more than once',
        'network configuration#/dataDir: expected an absolute path, got "x"',
      ],
    );
  });

  test('between chain entry and policy file', () => {
    const file = JSON.stringify({ exits: [{ ...exit, id: 0 }], policies: [{ ...policy, exit: 'partner' }] });
    assert.deepEqual(
      refusalOf(() => read({ exits: [exit] }, () => file)),
      [
        'invalid-configuration',
        '/etc/cni/egress/policy.json#/exits/0: exit "partners" is already at network configuration#/exits/0',
        '/etc/cni/egress/policy.json#/policies/0/exit: unknown exit "partner", did you mean "partners"?',
        '/etc/cni/egress/policy.json#/exits/0/id: expected a whole number from 1 to 16382, got 0',
      ],
    );
  });
});

describe('whatever the policy file holds', () => {
  const answer = (document: unknown): string => {
    try {
      return readFileOf(JSON.stringify(document)) && 'taken';
    } catch (error) {
      assert.ok(error instanceof EgressError, String(error));
      assert.match(error.message, /^(\/p\.json#(\/.*)?: .+\n?)+$/);
      return error.code;
    }
  };
  const documented = fc.record(
    {
      clusterCIDRs: fc.jsonValue(),
      nodes: fc.array(fc.record({ address: fc.jsonValue(), podCIDRs: fc.jsonValue() }, { requiredKeys: [] })),
      tunnel: fc.record({ replyPath: fc.jsonValue(), allowedSources: fc.jsonValue() }, { requiredKeys: [] }),
      fwmark: fc.jsonValue(),
      exits: fc.array(
        fc.record(
          { name: fc.jsonValue(), nextHop: fc.jsonValue(), addresses: fc.jsonValue(), gateways: fc.jsonValue() },
          { requiredKeys: [] },
        ),
      ),
      policies: fc.array(fc.jsonValue()),
    },
    { requiredKeys: [] },
  );

  test('it is taken or refused with places, and nothing else', () => {
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), documented), (document) => {
        assert.match(answer(document), /^(taken|invalid-configuration)$/);
      }),
      { numRuns: 500 },
    );
  });
});
