import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaults } from '../../../src/config/defaults.ts';
import { readChainEntry, readPolicy } from '../../../src/config/read.ts';
import { exit, policy, read, readFileOf, refusalOf } from './samples.ts';

describe('without any option', () => {
  test('everything has its default, and link-local ranges belong to the cluster', () => {
    assert.deepEqual(read({}), {
      fwmark: 0x40000000,
      routeTable: 500000,
      rulePriority: 700,
      checkSources: true,
      extraSources: [],
      dataDir: '/var/lib/cni/egress',
      logFile: undefined,
      logLevel: 'info',
      node: undefined,
      nodes: [],
      tunnel: { vni: 14597, port: 4788, replyPath: 'direct', sources: [] },
      vrrp: { interval: 100, preempt: false },
      clusterCIDRs: ['169.254.0.0/16', 'fe80::/10'],
      exits: [],
      policies: [],
    });
  });

  test('exits and policies are filled in', () => {
    const { exits, policies } = read({ exits: [exit], policies: [policy] });
    assert.deepEqual(exits, [
      {
        name: 'partners',
        id: 14454,
        gateways: [],
        interface: 'eth1',
        nextHops: {},
        addresses: [],
        annotationNamespaces: [],
        onUnavailable: 'drop',
      },
    ]);
    assert.deepEqual(policies, [
      { ...policy, pods: ['*'], destinations: ['0.0.0.0/0', '::/0'], except: [], priority: 0 },
    ]);
  });
});

describe('options', () => {
  test('addresses and ranges become canonical', () => {
    const { exits, policies } = read({
      exits: [{ ...exit, id: 9, nextHop: ['FE80:0::1', '192.168.0.1'], addresses: ['192.168.0.245', 'FD00::0245'] }],
      policies: [{ ...policy, destinations: ['10.1.2.3/8', '192.0.2.1'], except: ['FD00::1/8'], priority: -5 }],
    });
    assert.deepEqual(exits[0], {
      ...exit,
      id: 9,
      gateways: [],
      nextHops: { 4: '192.168.0.1', 6: 'fe80::1' },
      addresses: ['192.168.0.245', 'fd00::245'],
      annotationNamespaces: [],
      onUnavailable: 'drop',
    });
    assert.deepEqual(policies[0]?.destinations, ['10.0.0.0/8', '192.0.2.1/32']);
    assert.deepEqual(policies[0]?.except, ['fd00::/8']);
  });

  test('one next hop needs no list', () => {
    assert.deepEqual(read({ exits: [{ ...exit, nextHop: 'fe80::1' }] }).exits[0]?.nextHops, { 6: 'fe80::1' });
  });

  test('nodes and their pods are cluster ranges, none inside another', () => {
    const { clusterCIDRs } = read({
      clusterCIDRs: ['10.96.0.0/12', '10.0.0.0/16'],
      nodes: [{ address: '172.16.0.2', podCIDRs: ['10.0.2.0/24', 'fd00:2::/64'] }, { address: 'fd00::2' }],
    });
    assert.deepEqual(clusterCIDRs, [
      '10.0.0.0/16',
      '10.96.0.0/12',
      '169.254.0.0/16',
      '172.16.0.2/32',
      'fd00::2/128',
      'fd00:2::/64',
      'fe80::/10',
    ]);
  });

  test('a node without pods is known, too', () => {
    const { node, nodes } = read({
      node: 'FD00::02',
      nodes: [{ address: 'FD00::02' }, { address: '172.16.0.3', podCIDRs: ['10.0.3.1/24'] }],
    });
    assert.equal(node, 'fd00::2');
    assert.deepEqual(nodes, [
      { address: 'fd00::2', podCIDRs: [] },
      { address: '172.16.0.3', podCIDRs: ['10.0.3.0/24'] },
    ]);
  });

  for (const [written, flag] of [
    [0x4000, 0x4000],
    ['0x00200000', 0x200000],
    ['0x80000000', 0x80000000],
    [0x80000000, 0x80000000],
  ] as const) {
    test(`fwmark ${JSON.stringify(written)} is the bit ${flag}`, () =>
      assert.equal(read({ fwmark: written }).fwmark, flag));
  }

  test('of the chain entry alone are taken as they are', () => {
    const options = { node: '172.18.0.5', dataDir: '/d', logFile: '/l', logLevel: 'silent' };
    const { node, dataDir, logFile, logLevel } = read(options);
    assert.deepEqual({ node, dataDir, logFile, logLevel }, options);
  });
});

describe('keys of the network configuration that belong to CNI', () => {
  test('are taken, whatever the runtime puts into them', () => {
    const stdin = {
      cniVersion: '1.1.0',
      name: 'pods',
      type: 'egress',
      capabilities: { 'io.kubernetes.cri.pod-annotations': true },
      runtimeConfig: { 'io.kubernetes.cri.pod-annotations': { a: 'b' } },
      args: { cni: { labels: [] } },
      prevResult: { ips: [{ address: '10.0.0.2/24', unknown: null }] },
    };
    assert.deepEqual(readChainEntry({ ...stdin, 'cni.dev/valid-attachments': [], 'cni.dev/attachments': null }), stdin);
  });

  for (const key of ['ipam', 'dns', 'ipMasq', 'disableCheck']) {
    test(`${key} is refused, because it would have no effect`, () => {
      const [code, line] = refusalOf(() => read({ [key]: {} }));
      assert.equal(code, 'invalid-configuration');
      assert.match(line ?? '', new RegExp(`^network configuration#/${key}: unknown key`));
    });
  }
});

describe('the policy file', () => {
  test('is looked for at the default place', () => {
    const asked: string[] = [];
    read({}, (path) => {
      asked.push(path);
      return undefined;
    });
    assert.deepEqual(asked, [defaults.policyFile]);
  });

  test('must exist when it is named, even by its default name', () => {
    const named = () => read({ policyFile: defaults.policyFile });
    assert.deepEqual(refusalOf(named), ['try-again', `Policy file ${defaults.policyFile} does not exist`]);
  });

  test('that cannot be read asks to try again', () => {
    const unreadable = () =>
      read({}, () => {
        throw new Error('EACCES: permission denied');
      });
    assert.deepEqual(refusalOf(unreadable), [
      'try-again',
      `Policy file ${defaults.policyFile} cannot be read: EACCES: permission denied`,
    ]);
  });

  for (const [what, text] of [
    ['empty', ''],
    ['half-written', '{"exits": [{"name": "par'],
    ['no JSON', 'exits: []'],
    ['followed by rubbish', '{} {}'],
  ] as const) {
    test(`that is ${what} asks to try again`, () => {
      const [code, line] = refusalOf(() => readFileOf(text));
      assert.equal(code, 'try-again');
      assert.match(line ?? '', /^Policy file \/p\.json is no complete JSON document: ./);
    });
  }

  test('may begin with a byte order mark and name its schema', () => {
    assert.deepEqual(readFileOf('\uFEFF{"$schema": "policy.schema.json", "fwmark": 16384}').fwmark, 0x4000);
  });

  test('must not have a key twice', () => {
    assert.deepEqual(
      refusalOf(() => readFileOf('{"policies": [], "exits": [], "policies": []}')),
      ['invalid-configuration', '/p.json#/policies: the key is there more than once'],
    );
  });
});

describe('a policy file without a chain entry', () => {
  const file = { exits: [exit], policies: [policy] };

  test('makes the configuration that an entry with nothing but its path makes', () => {
    const asked: string[] = [];
    const readFile = (path: string) => {
      asked.push(path);
      return JSON.stringify(file);
    };
    assert.deepEqual(readPolicy('/q.json', readFile), read(file));
    assert.deepEqual(asked, ['/q.json']);
  });

  test('must exist', () => {
    const missing = () => readPolicy('/q.json', () => undefined);
    assert.deepEqual(refusalOf(missing), ['try-again', 'Policy file /q.json does not exist']);
  });

  test('is judged like that of an entry', () => {
    const contradiction = () => readPolicy('/q.json', () => JSON.stringify({ policies: [policy] }));
    const line = '/q.json#/policies/0/exit: unknown exit "partners", expected one of "node", "drop"';
    assert.deepEqual(refusalOf(contradiction), ['invalid-configuration', line]);
  });
});

describe('chain entry and policy file together', () => {
  const file = {
    clusterCIDRs: ['10.0.0.0/16'],
    fwmark: 0x8000,
    routeTable: 1000,
    exits: [{ name: 'from-file', interface: 'eth1' }],
    policies: [{ ...policy, name: 'from-file' }],
  };
  const entry = {
    clusterCIDRs: ['10.96.0.0/12'],
    fwmark: '0x4000',
    exits: [exit],
    policies: [{ ...policy, exit: 'from-file' }],
  };
  const both = (more: object = {}) => read({ ...entry, ...more, policyFile: '/p.json' }, () => JSON.stringify(file));

  test('lists add up', () => {
    const { clusterCIDRs, exits, policies } = both();
    assert.deepEqual(clusterCIDRs, ['10.0.0.0/16', '10.96.0.0/12', '169.254.0.0/16', 'fe80::/10']);
    assert.deepEqual(exits.map(({ name }) => name).sort(), ['from-file', 'partners']);
    assert.deepEqual(policies.map(({ name }) => name).sort(), ['from-file', 'p']);
  });

  test('single values of the chain entry win, those that it lacks come from the file, then from the defaults', () => {
    const { fwmark, routeTable, rulePriority } = both();
    assert.deepEqual({ fwmark, routeTable, rulePriority }, { fwmark: 0x4000, routeTable: 1000, rulePriority: 700 });
  });

  test('a name in both is refused, with both places', () => {
    assert.deepEqual(
      refusalOf(() => both({ exits: [exit, { ...exit, name: 'from-file' }] })),
      ['invalid-configuration', '/p.json#/exits/0: exit "from-file" is already at network configuration#/exits/1'],
    );
  });
});
