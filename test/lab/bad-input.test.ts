import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { type Json, partners, policy } from '../support/chain.ts';
import { Lab, labTest } from '../support/lab.ts';
import type { LabNode } from '../support/node.ts';
import type { Call, CniCommand } from '../support/plugin.ts';
import type { CniResult, Pod } from '../support/pod.ts';
import { assertUnchanged, snapshot } from '../support/snapshot.ts';
import { tool } from '../support/tools.ts';

/** An input that has to be refused, and what the answer is. */
interface Refusal {
  readonly what: string;
  readonly command?: CniCommand;
  readonly prepare?: (node: LabNode) => Promise<unknown>;
  readonly call: Call | ((pod: Pod) => Call);
  readonly code: number;
  /** What `details` has to say. */
  readonly details: RegExp;
}

const entry = (changes: Json): Call => ({ config: changes });
const withPolicy = (changes: Json): Call => entry({ policies: [{ ...policy.policies[0], ...changes }] });
const withExit = (changes: Json): Call => entry({ exits: [{ ...partners, ...changes }] });
const withResult = (change: (result: CniResult) => unknown) => (pod: Pod) =>
  entry({ prevResult: pod.result && change(pod.result) });
const policyFile = (path: string) => entry({ policyFile: `/etc/cni/${path}` });

const environment: readonly Refusal[] = [
  { what: 'an unknown command', call: { env: { CNI_COMMAND: 'PATCH' } }, code: 4, details: /CNI_COMMAND is "PATCH"/ },
  {
    what: 'a missing container ID and interface',
    call: { env: { CNI_CONTAINERID: undefined, CNI_IFNAME: undefined } },
    code: 4,
    details: /CNI_CONTAINERID, CNI_IFNAME/,
  },
  { what: 'a missing network namespace', call: { env: { CNI_NETNS: undefined } }, code: 4, details: /CNI_NETNS/ },
  { what: 'a container ID that is a path', call: { env: { CNI_CONTAINERID: '../x' } }, code: 4, details: /"\.\.\/x"/ },
  {
    what: 'an interface name that is too long',
    call: { env: { CNI_IFNAME: 'a'.repeat(16) } },
    code: 4,
    details: /a{16}/,
  },
];

const stdin: readonly Refusal[] = [
  { what: 'nothing on stdin', call: { stdin: '' }, code: 6, details: /JSON/ },
  { what: 'half a document', call: { stdin: '{"cniVersion":"1.0.0","na' }, code: 6, details: /JSON/ },
  { what: 'a list', call: { stdin: '[]' }, code: 6, details: /object/ },
  { what: 'no network name', call: entry({ name: undefined }), code: 7, details: /#\/name/ },
  { what: 'a network name that is a path', call: entry({ name: 'a/b' }), code: 7, details: /"a\/b"/ },
  {
    what: 'a version that nobody knows',
    call: entry({ cniVersion: '9.9.9' }),
    code: 1,
    details: /9\.9\.9.*0\.3\.0.*1\.1\.0/,
  },
  {
    what: 'CHECK in a version without it',
    command: 'CHECK',
    call: entry({ cniVersion: '0.3.1' }),
    code: 1,
    details: /CHECK.*0\.4\.0.*0\.3\.1/,
  },
  { what: 'GC in a version without it', command: 'GC', call: {}, code: 1, details: /GC.*1\.1\.0.*1\.0\.0/ },
  { what: 'STATUS in a version without it', command: 'STATUS', call: {}, code: 1, details: /STATUS.*1\.1\.0.*1\.0\.0/ },
];

const results: readonly Refusal[] = [
  { what: 'no prevResult', call: entry({ prevResult: undefined }), code: 100, details: /prevResult/ },
  { what: 'a prevResult that is null', call: entry({ prevResult: null }), code: 100, details: /prevResult/ },
  {
    what: 'a prevResult without addresses',
    call: withResult((result) => ({ ...result, ips: [] })),
    code: 101,
    details: /eth0/,
  },
  {
    what: 'a prevResult whose addresses are of another interface',
    call: withResult((result) => ({ ...result, ips: result.ips.map((ip) => ({ ...ip, interface: 0 })) })),
    code: 101,
    details: /eth0/,
  },
  {
    what: 'an address that is none',
    call: withResult((result) => ({ ...result, ips: [{ address: '10.0.0.300/24' }] })),
    code: 6,
    details: /10\.0\.0\.300/,
  },
  {
    what: 'a pod without an interface on the side of the host, as after macvlan, ipvlan and host-device',
    call: withResult((result) => ({
      ...result,
      interfaces: [{ name: 'eth0', sandbox: '/run/netns/pod' }],
      ips: [{ address: '10.0.0.9/24' }],
    })),
    code: 102,
    details: /interface on the host/,
  },
  {
    what: 'a pod whose address is not routed to an interface of the host',
    call: withResult((result) => ({ ...result, ips: [{ address: '198.51.100.7/24' }] })),
    code: 102,
    details: /198\.51\.100\.7/,
  },
];

const configurations: readonly Refusal[] = [
  { what: 'an unknown key', call: entry({ exit: [] }), code: 7, details: /#\/exit.*"exits"/ },
  {
    what: 'an unknown key in a policy',
    call: withPolicy({ namespace: 'x' }),
    code: 7,
    details: /#\/policies\/0\/namespace.*"namespaces"/,
  },
  { what: 'a list that is a text', call: entry({ clusterCIDRs: '10.0.0.0/8' }), code: 7, details: /#\/clusterCIDRs/ },
  {
    what: 'a range that is none',
    call: withPolicy({ destinations: ['10.0.0.0/33'] }),
    code: 7,
    details: /#\/policies\/0\/destinations\/0.*10\.0\.0\.0\/33/,
  },
  {
    what: 'an address that is none',
    call: withExit({ addresses: ['192.168.0.256'] }),
    code: 7,
    details: /#\/exits\/0\/addresses/,
  },
  {
    what: 'two next hops of one family',
    call: withExit({ nextHop: ['192.0.2.1', '192.0.2.2'] }),
    code: 7,
    details: /one address of each family/,
  },
  {
    what: 'a policy with an exit that does not exist',
    call: withPolicy({ exit: 'partner' }),
    code: 7,
    details: /"partner".*"partners"/,
  },
  {
    what: 'an exit that is called like a built-in one',
    call: withExit({ name: 'drop' }),
    code: 7,
    details: /#\/exits\/0\/name/,
  },
  { what: 'two exits of one name', call: entry({ exits: [partners, partners] }), code: 7, details: /partners/ },
  {
    what: 'two exits of one number',
    call: entry({
      exits: [
        { ...partners, id: 7 },
        { ...partners, name: 'internet', id: 7 },
      ],
    }),
    code: 7,
    details: /partners.*internet|internet.*partners/,
  },
  {
    what: 'a data folder that is no absolute path',
    call: entry({ dataDir: 'egress' }),
    code: 7,
    details: /#\/dataDir/,
  },
  { what: 'a flag of two bits', call: entry({ fwmark: '0x00300000' }), code: 7, details: /#\/fwmark/ },
];

const files: readonly Refusal[] = [
  {
    what: 'a policy file that is named but missing',
    call: policyFile('missing.json'),
    code: 11,
    details: /\/etc\/cni\/missing\.json/,
  },
  {
    what: 'a policy file that is half written',
    prepare: (node) => writeFile(node.configuration('half.json'), '{"exits": ['),
    call: policyFile('half.json'),
    code: 11,
    details: /\/etc\/cni\/half\.json/,
  },
  {
    what: 'a policy file that cannot be read',
    prepare: (node) => mkdir(node.configuration('folder.json')),
    call: policyFile('folder.json'),
    code: 11,
    details: /\/etc\/cni\/folder\.json/,
  },
  {
    what: 'a policy file that leads nowhere',
    prepare: (node) => symlink('/nowhere', node.configuration('link.json')),
    call: policyFile('link.json'),
    code: 11,
    details: /\/etc\/cni\/link\.json/,
  },
  {
    what: 'an unknown key in the policy file',
    prepare: (node) => writeFile(node.configuration('typo.json'), '{"policys": []}'),
    call: policyFile('typo.json'),
    code: 7,
    details: /\/etc\/cni\/typo\.json#\/policys.*"policies"/,
  },
];

const machines: readonly Refusal[] = [
  { what: 'an exit whose interface does not exist', call: withExit({ interface: 'eth9' }), code: 103, details: /eth9/ },
  {
    what: 'an exit whose interface is down',
    prepare: (node) => node.machine.ip('link add spare0 type veth peer name spare1'),
    call: withExit({ interface: 'spare0' }),
    code: 103,
    details: /spare0/,
  },
  {
    what: 'an exit whose interface has no address, when none is given',
    prepare: (node) =>
      node.machine.ip(
        'link add bare0 type veth peer name bare1',
        'link set bare0 addrgenmode none',
        'link set bare0 up',
      ),
    call: entry({ exits: [{ name: 'partners', interface: 'bare0' }] }),
    code: 104,
    details: /bare0/,
  },
  {
    what: 'a bit of the mark that a rule of somebody else looks at',
    prepare: (node) => node.machine.must(['ip', 'rule', 'add', 'fwmark', '0x200000/0x200000', 'lookup', '100']),
    call: entry({ fwmark: '0x00200000' }),
    code: 105,
    details: /0x0*200000/,
  },
  {
    what: 'a next hop that the interface does not reach',
    call: withExit({ nextHop: ['198.51.100.1', 'fd00:168::1'] }),
    code: 118,
    details: /198\.51\.100\.1 is in no network of eth1/,
  },
  {
    what: 'a process without the right to change the network',
    call: { through: [tool('setpriv'), '--bounding-set=-net_admin', '--'] },
    code: 50,
    details: /./,
  },
];

const groups = {
  'in the environment': environment,
  'on stdin': stdin,
  'in prevResult': results,
  'in the configuration': configurations,
  'in policy files': files,
  'on the node': machines,
};

describe('a mistake', labTest, () => {
  let lab: Lab;
  let node: LabNode;
  let pod: Pod;

  before(async () => {
    lab = await Lab.create();
    node = await lab.node();
    pod = await node.withoutEgress(() => node.started());
  });

  after(() => lab.remove());

  for (const [place, refusals] of Object.entries(groups)) {
    describe(place, () => {
      for (const { what, command = 'ADD', prepare, call, code, details } of refusals) {
        test(`is refused, and leaves nothing behind: ${what}`, async () => {
          await prepare?.(node);
          const state = await snapshot(node);
          const outcome = await node.plugin(command, { pod, ...(typeof call === 'function' ? call(pod) : call) });
          assertIsError(outcome.json, code, details);
          assert.equal(outcome.code, 1);
          assertUnchanged(state, await snapshot(node));
          const files = await node.records();
          assert.deepEqual(
            files.filter((name) => name !== 'lock'),
            [],
          );
        });
      }
    });
  }
});

describe('STATUS', labTest, () => {
  const request = { config: { cniVersion: '1.1.0' } };

  test('says nothing on a node where egress can work', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const { code, stdout } = await node.plugin('STATUS', request);
    assert.deepEqual({ code, stdout }, { code: 0, stdout: '' });
  });

  test('says nothing about an exit that is not usable, because the whole node would be NotReady', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    await node.machine.ip('link set eth1 down');
    assert.equal((await node.plugin('STATUS', request)).code, 0);
    assert.equal((await node.plugin('STATUS', { config: { ...request.config, policies: 'none' } })).code, 0);
  });

  test('is 50 without the right to change the network', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const { json } = await node.plugin('STATUS', {
      ...request,
      through: [tool('setpriv'), '--bounding-set=-net_admin', '--'],
    });
    assertIsError(json, 50, /./);
  });
});

describe('DEL', labTest, () => {
  test('never says "not found" or "no such file or directory", which containerd takes for success', async () => {
    await using lab = await Lab.create();
    const node = await lab.node();
    const pod = await node.pod();
    for (const call of [
      { stdin: 'not found' },
      { config: { cniVersion: 'not found' } },
      { env: { CNI_CONTAINERID: 'not found' } },
    ]) {
      const { code, stdout } = await node.plugin('DEL', { pod, ...call });
      assert.equal(code, 1, JSON.stringify(call));
      assert.doesNotMatch(stdout, /not found|no such file or directory/i);
    }
  });
});

/** The error object of the specification, with all four members. */
function assertIsError(json: unknown, code: number, details: RegExp): void {
  const error = json as { cniVersion: string; code: number; msg: string; details: string };
  assert.deepEqual(Object.keys(error), ['cniVersion', 'code', 'msg', 'details']);
  assert.equal(error.code, code, JSON.stringify(error));
  assert.match(error.details, details);
}
