import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Gateway, NodeState, SteeredAttachment } from '../../../src/datapath/attachment.ts';
import { desired } from '../../../src/datapath/desired.ts';
import { type Change, difference, keyOf } from '../../../src/datapath/difference.ts';
import { desiredLook } from '../../../src/datapath/guard.ts';
import { gatewayParts, tunnelParts } from '../../../src/datapath/layout.ts';
import { type Needs, needsOf, needsOfNode } from '../../../src/datapath/needs.ts';
import type { HostObject } from '../../../src/datapath/objects.ts';
import { type Remembered, released, rewritten } from '../../../src/datapath/release.ts';
import type { Element } from '../../../src/nftables/object.ts';
import { asListed, FakeKernel } from '../support/fake-kernel.ts';
import { anySituation } from './arbitraries.ts';
import { attachment, backup, gateway, partners, node as plainNode, remote, tunnel } from './samples.ts';

/** Who needs something on a node: a pod, or those that it serves as a gateway. */
type User = SteeredAttachment | 'gateway';

const needsOfUser = (node: NodeState, user: User): Needs =>
  user === 'gateway' ? needsOfGateway(node) : needsOf(node, user);

/** Without what only pods of the gateway's own need. */
const needsOfGateway = (node: NodeState): Needs => ({
  ...needsOfNode(node, []),
  exits: node.exits.filter(({ id }) => node.gateway?.served.includes(id)),
});

/** A gateway is set up with all exits of its node; here others may have theirs already. */
const additions = (node: NodeState, needs: Needs, kernel: FakeKernel): Change[] =>
  difference(desired(node, needs), kernel.observe(node, needs, true)).filter(({ verb }) => verb !== 'remove');

function nodeWith(node: NodeState, users: readonly User[]): FakeKernel {
  const kernel = new FakeKernel();
  for (const user of users) {
    const needs = needsOfUser(node, user);
    kernel.apply(additions(node, needs, kernel));
  }
  return kernel;
}

const elementsOf = (kernel: FakeKernel, user: User): Element[] =>
  user === 'gateway' ? kernel.servedElements() : kernel.podElements().filter(({ comment }) => comment === user.mark);

const remembered = ({ routeTable, exits, spared }: NodeState): Remembered => ({
  ...{ routeTable, exits, sysctls: {} },
  ...(spared && { spared }),
});
const nothing: Remembered = { exits: [], sysctls: {} };

function release(kernel: FakeKernel, node: NodeState, user: User, known = remembered(node)): readonly HostObject[] {
  const state = kernel.ourState([], node.gateway?.owned);
  const objects = released(state, elementsOf(kernel, user), known);
  const chains = new Set(namesOf(objects, 'chain'));
  kernel.apply([
    ...objects.map((object): Change => ({ verb: 'remove', object })),
    ...rewritten(state, chains, known === nothing ? undefined : node),
  ]);
  return objects;
}

const namesOf = (objects: readonly HostObject[], kind: 'chain' | 'set') =>
  objects.flatMap((object) => (object.kind === kind ? [object.name] : []));

/** The node as it is recorded while only those are there. */
function nodeOf({ tunnel, gateway, ...node }: NodeState, users: readonly User[]): NodeState {
  const isGateway = users.includes('gateway');
  const exits = users.flatMap((user) => needsOfUser({ ...node, ...(gateway && { gateway }) }, user).exits);
  const hasTunnel = isGateway || exits.some(({ gateway }) => gateway !== undefined);
  return { ...node, ...(hasTunnel && tunnel && { tunnel }), ...(isGateway && gateway && { gateway }) };
}

const byKey = (objects: readonly HostObject[]) => Object.fromEntries(objects.map((object) => [keyOf(object), object]));

function requireExactly(kernel: FakeKernel, node: NodeState, users: readonly User[], hasRecord = true): void {
  const looking = hasRecord ? [] : desiredLook(node);
  const needed = users
    .flatMap((user) => desired(nodeOf(node, users), needsOfUser(node, user)))
    .filter(({ kind }) => kind !== 'sysctl') // the tunnel's filter, which is there with its device
    .map((object) => looking.find((chain) => keyOf(chain) === keyOf(object)) ?? object)
    .map(asListed);
  assert.deepEqual(byKey(kernel.contents()), byKey(needed));
}

/** A gateway of some of the exits that leave from here; the others may go through the tunnel. */
const anyGateway = ({ exits }: NodeState): fc.Arbitrary<Gateway> => {
  const local = exits.filter((exit) => exit.gateway === undefined);
  return fc
    .record({
      served: fc.subarray([...local], { minLength: 1 }),
      hasOwn: fc.boolean(),
      replies: fc.subarray([...gateway.replies]),
    })
    .map(({ served, hasOwn, replies }) => ({
      served: served.map(({ id }) => id),
      owned: hasOwn
        ? served.flatMap(({ device, ways }) =>
            ways.flatMap(({ addresses }) => addresses.map((address) => ({ device, address }))),
          )
        : [],
      replies,
    }));
};

/** A gateway with pods of its own, and the order in which all of them go. */
const anyOrder: fc.Arbitrary<[NodeState, User[]]> = anySituation
  .filter(({ node }) => node.exits.some((exit) => exit.gateway === undefined))
  .chain(({ node, attachments }) => {
    const users: User[] = ['gateway', ...attachments];
    return fc.tuple(
      anyGateway(node).map((gateway) => ({ ...node, gateway })),
      fc.shuffledSubarray(users, { minLength: users.length }),
    );
  });

describe('on a gateway with pods of its own, after each release in any order,', () => {
  test('exactly what is needed by who is left is there, and at last nothing', () => {
    fc.assert(
      fc.property(anyOrder, ([node, order]) => {
        const kernel = nodeWith(node, order);
        for (const [i, user] of order.entries()) {
          release(kernel, node, user);
          requireExactly(kernel, node, order.slice(i + 1));
        }
        assert.deepEqual(kernel.contents(), []);
      }),
    );
  });

  test('the same is there when the node’s record is lost', () => {
    fc.assert(
      fc.property(anyOrder, ([node, order]) => {
        const kernel = nodeWith(node, order);
        for (const [i, user] of order.entries()) {
          release(kernel, node, user, nothing);
          requireExactly(kernel, node, order.slice(i + 1), false);
        }
      }),
    );
  });

  test('the same is there on a kernel that forgets whose addresses are', () => {
    fc.assert(
      fc.property(anyOrder, ([node, order]) => {
        const kernel = new FakeKernel();
        kernel.outside.tellsWhoseAddresses = false;
        for (const user of order) {
          const needs = needsOfUser(node, user);
          kernel.apply(additions(node, needs, kernel));
        }
        for (const [i, user] of order.entries()) {
          release(kernel, node, user);
          requireExactly(kernel, node, order.slice(i + 1));
        }
      }),
    );
  });
});

const pod = (name: string, address: string, exit: string): SteeredAttachment =>
  attachment({
    mark: `pods/${name}/eth0`,
    addresses: [address],
    program: `program-${name}`,
    matches: [{ policy: 'p', family: 4, destinations: ['203.0.113.0/24'], except: [], exit }],
  });

const byRemote = pod('remote', '10.0.0.9', remote.name);
const byBackup = pod('backup', '10.0.0.10', backup.name);
const byPartners = pod('partners', '10.0.0.11', partners.name);
const node: NodeState = { ...plainNode, exits: [partners, backup, remote], tunnel };
const withGateway: NodeState = { ...node, gateway };

describe('the last pod of an exit through the tunnel', () => {
  test('takes exactly the tunnel with it where other pods are', () => {
    const kernel = nodeWith(node, [byRemote, byBackup]);
    const gone = release(kernel, node, byRemote);
    requireExactly(kernel, node, [byBackup]);
    assert.equal(kernel.outside.tunnel, undefined);
    const parts: string[] = [...tunnelParts.chains, ...tunnelParts.sets];
    const others = [...namesOf(gone, 'chain'), ...namesOf(gone, 'set')].filter((name) => !parts.includes(name));
    const sets = ['cluster4', 'cluster6', '1'].map((name) => `program-remote-${name}`);
    assert.deepEqual(others, ['program-remote', 'exit-9', 'sent-egress0', ...sets]);
  });

  test('leaves the tunnel on a gateway', () => {
    const kernel = nodeWith(withGateway, [byRemote, 'gateway']);
    const gone = release(kernel, withGateway, byRemote);
    requireExactly(kernel, withGateway, ['gateway']);
    assert.deepEqual(
      gone.filter(({ kind }) => ['tunnel', 'address', 'neighbour', 'forwarding'].includes(kind)),
      [],
    );
  });

  test('is not the last while another exit goes through the tunnel', () => {
    const other = { ...remote, name: 'other', id: 10 };
    const both = { ...node, exits: [remote, other] };
    const kernel = nodeWith(both, [byRemote, pod('other', '10.0.0.12', 'other')]);
    release(kernel, both, byRemote);
    requireExactly(kernel, both, [pod('other', '10.0.0.12', 'other')]);
    assert.notEqual(kernel.outside.tunnel, undefined);
  });
});

describe('a gateway that goes', () => {
  test('leaves the exit that it served to its own pods, but not the addresses: another gateway may have them', () => {
    const kernel = nodeWith(withGateway, [byPartners, 'gateway']);
    const gone = release(kernel, withGateway, 'gateway');
    requireExactly(kernel, withGateway, [byPartners]);
    assert.ok(namesOf(kernel.contents(), 'chain').includes('exit-7'));
    assert.deepEqual(
      gone.flatMap((object) => (object.kind === 'address' ? [object.address] : [])),
      ['192.168.0.245'],
    );
  });

  test('takes with it what it opened for its answers, of what its own pods may send while nothing judges it', () => {
    const marking = { ...node, spared: ['10.0.0.0/24'] };
    const checked = { ...byPartners, sources: { devices: ['veth1'], others: [] } };
    const opened = (kernel: FakeKernel) =>
      kernel
        .contents()
        .flatMap((object) => (object.kind === 'route' && object.type === 'throw' ? object.destination : []));
    const kernel = nodeWith({ ...marking, gateway }, [checked, 'gateway']);
    assert.deepEqual(opened(kernel), ['10.0.0.0/24', '10.0.1.0/24', '10.0.2.0/24']);
    release(kernel, { ...marking, gateway }, 'gateway');
    assert.deepEqual(opened(kernel), ['10.0.0.0/24']);
    requireExactly(kernel, marking, [checked]);
  });

  test('leaves the tunnel to pods that use another gateway', () => {
    const kernel = nodeWith(withGateway, ['gateway', byRemote]);
    release(kernel, withGateway, 'gateway');
    requireExactly(kernel, withGateway, [byRemote]);
    const parts: string[] = [...gatewayParts.chains, ...gatewayParts.sets];
    const left = [...namesOf(kernel.contents(), 'chain'), ...namesOf(kernel.contents(), 'set')];
    assert.deepEqual(
      left.filter((name) => parts.includes(name)),
      [],
    );
  });

  test('as the last takes everything, by deleting the tables', () => {
    const kernel = nodeWith(withGateway, ['gateway']);
    const gone = release(kernel, withGateway, 'gateway');
    assert.deepEqual(kernel.contents(), []);
    assert.deepEqual(gone.filter(({ kind }) => kind === 'table').map(keyOf), ['table', 'netdev table']);
  });

  test('does not take an address that an administrator put on an interface', () => {
    const kernel = nodeWith(withGateway, ['gateway', byPartners]);
    kernel.outside.tellsWhoseAddresses = false;
    const objects = released(kernel.ourState([]), kernel.servedElements(), remembered(withGateway));
    assert.deepEqual(
      objects.filter(({ kind }) => kind === 'address'),
      [],
    );
  });
});

describe('the order of a release', () => {
  const kernel = nodeWith(withGateway, [byRemote, byBackup, 'gateway']);
  const elements = [...elementsOf(kernel, 'gateway'), ...elementsOf(kernel, byRemote)];
  const objects = released(kernel.ourState([]), elements, remembered(withGateway));
  const placeOf = (kind: HostObject['kind'], name: string) =>
    objects.findIndex((object) => object.kind === kind && 'name' in object && object.name === name);

  test('has chains before the sets that they look into', () => {
    for (const [chain, set] of [
      ['replies', 'egress4'],
      ['owned', 'owned6'],
      ['arrive', 'served'],
      ['senders', 'senders4'],
      ['program-remote', 'program-remote-1'],
    ] as const) {
      const [before, after] = [placeOf('chain', chain), placeOf('set', set)];
      assert.ok(before >= 0 && before < after, `${chain} ${before}, ${set} ${after}`);
    }
  });

  test('has chains before those that they lead to', () => {
    assert.ok(placeOf('chain', 'program-remote') < placeOf('chain', 'exit-9'));
  });

  test('has elements before the chains that they lead to, and each once', () => {
    const served = objects.findIndex((object) => object.kind === 'element' && object.set === 'served');
    assert.ok(served >= 0 && served < placeOf('chain', 'exit-7'));
    const keys = objects.map(keyOf);
    assert.deepEqual(keys, [...new Set(keys)]);
  });
});
