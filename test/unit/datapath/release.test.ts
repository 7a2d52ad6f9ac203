import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { NodeState, SteeredAttachment } from '../../../src/datapath/attachment.ts';
import { desired } from '../../../src/datapath/desired.ts';
import { type Change, difference, keyOf } from '../../../src/datapath/difference.ts';
import { needsEgressHook } from '../../../src/datapath/egress-counters.ts';
import type { ResolvedExit } from '../../../src/datapath/exit.ts';
import { fastPathLeft } from '../../../src/datapath/fast-path-left.ts';
import { desiredLook } from '../../../src/datapath/guard.ts';
import { chainNames, exitDeviceKey, isPortsChain, netdevTable } from '../../../src/datapath/layout.ts';
import { needsOf } from '../../../src/datapath/needs.ts';
import type { HostObject } from '../../../src/datapath/objects.ts';
import { type Remembered, released, rewritten } from '../../../src/datapath/release.ts';
import { reversePathName } from '../../../src/datapath/reverse-path.ts';
import type { Element } from '../../../src/nftables/object.ts';
import { asListed, FakeKernel } from '../support/fake-kernel.ts';
import { anySituation, type Situation } from './arbitraries.ts';
import { attachment, backup, node, partners } from './samples.ts';

const remove = (objects: readonly HostObject[]) => objects.map((object): Change => ({ verb: 'remove', object }));

const changesFor = (kernel: FakeKernel, node: NodeState, attachment: SteeredAttachment) =>
  difference(desired(node, needsOf(node, attachment)), kernel.observe(node, needsOf(node, attachment), true));

/** A node with what attachments need, the loose filters of their exits' interfaces included. */
function nodeWith({ node, attachments }: Situation) {
  const kernel = new FakeKernel();
  for (const attachment of attachments) {
    kernel.apply(changesFor(kernel, node, attachment));
    for (const { device } of needsOf(node, attachment).exits) kernel.sysctls.set(reversePathName(device), '2');
  }
  return kernel;
}

/** What was overwritten on the node: the filters of all interfaces that its attachments leave by were strict. */
const remembered = ({ node, attachments }: Situation): Remembered => ({
  routeTable: node.routeTable,
  exits: node.exits,
  sysctls: Object.fromEntries(filtersOf(node, attachments).map((name) => [name, '1'])),
});

const filtersOf = (node: NodeState, attachments: readonly SteeredAttachment[]) =>
  attachments
    .flatMap((attachment) => needsOf(node, attachment).exits)
    .filter(({ gateway }) => gateway === undefined) // the tunnel's own filter goes with its device
    .map(({ device }) => reversePathName(device));

/** `node` is its record, without which nobody knows of fast paths. */
function release(kernel: FakeKernel, { mark }: SteeredAttachment, known: Remembered, node?: NodeState): HostObject[] {
  return take(
    kernel,
    kernel.podElements().filter(({ comment }) => comment === mark),
    known,
    node,
  );
}

function take(kernel: FakeKernel, elements: readonly Element[], known: Remembered, node?: NodeState): HostObject[] {
  const state = kernel.ourState([]);
  const objects = released(state, elements, known);
  const chains = new Set(objects.flatMap((object) => (object.kind === 'chain' ? [object.name] : [])));
  const left = node && { ...node, exits: node.exits.filter(({ id }) => !chains.has(chainNames.exit(id))) };
  kernel.apply([...remove(objects), ...rewritten(state, chains, undefined), ...fastPathLeft(state, objects, left)]);
  return objects;
}

const byKey = (objects: readonly HostObject[]) => Object.fromEntries(objects.map((object) => [keyOf(object), object]));

/** The chains that ask for the tunnel stay as they are, since {@link release} has no record of the node. */
function requireExactly(kernel: FakeKernel, node: NodeState, attachments: readonly SteeredAttachment[]): void {
  const { tunnel, ...others } = node;
  const hasTunnel = attachments.some((attachment) => needsOf(node, attachment).tunnel !== undefined);
  const left = { ...others, ...(hasTunnel && tunnel && { tunnel }) };
  const looking = desiredLook(node);
  const needed = attachments
    .flatMap((attachment) => desired(left, needsOf(left, attachment)))
    .filter(({ kind }) => kind !== 'sysctl') // the tunnel's filter, which is there with its device
    .map((object) => looking.find((chain) => keyOf(chain) === keyOf(object)) ?? object)
    .map(asListed);
  assert.deepEqual(byKey(kernel.contents()), byKey(needed));
}

const anyOrder = anySituation.chain((situation) =>
  fc.tuple(
    fc.constant(situation),
    fc.shuffledSubarray([...situation.attachments], { minLength: situation.attachments.length }),
  ),
);

describe('ports of a pod’s own', () => {
  const ports = [{ exit: 'partners', first: 1024, last: 2047 }];
  const one = attachment({ ports });
  const other = attachment({ mark: 'pods/other/eth0', addresses: ['10.0.0.7', 'fd00::7'], ports });
  const situation = { node, attachments: [one, other] };
  const portsIn = (kernel: FakeKernel) =>
    kernel.contents().flatMap((object) => (object.kind === 'chain' && isPortsChain(object.name) ? [object.name] : []));

  test('go with the pod, chains and elements, and those of another stay', () => {
    const kernel = nodeWith(situation);
    assert.equal(portsIn(kernel).length, 4);
    release(kernel, one, remembered(situation));
    assert.deepEqual(portsIn(kernel).sort(), ['ports-7-10.0.0.7', 'ports-7-fd00__7']);
    requireExactly(kernel, node, [other]);
  });

  test('go also when no element leads to their chain any more', () => {
    const kernel = nodeWith({ node, attachments: [one, other] });
    kernel.apply(remove(kernel.contents().filter((object) => isBlock(object) && object.comment === one.mark)));
    release(kernel, one, remembered(situation));
    assert.deepEqual(portsIn(kernel).sort(), ['ports-7-10.0.0.7', 'ports-7-fd00__7']);
  });
});

const isBlock = (object: HostObject): object is Element => object.kind === 'element' && object.set.startsWith('blocks');

describe('after each release, in any order,', () => {
  test('exactly what the attachments that are left need is there, and at last nothing', () => {
    fc.assert(
      fc.property(anyOrder, ([situation, order]) => {
        const kernel = nodeWith(situation);
        for (const [i, attachment] of order.entries()) {
          release(kernel, attachment, remembered(situation));
          requireExactly(kernel, situation.node, order.slice(i + 1));
        }
        assert.deepEqual(kernel.contents(), []);
      }),
    );
  });

  test('the same is there when the node’s record is lost', () => {
    fc.assert(
      fc.property(anyOrder, ([situation, order]) => {
        const kernel = nodeWith(situation);
        for (const [i, attachment] of order.entries()) {
          release(kernel, attachment, { exits: [], sysctls: {} });
          requireExactly(kernel, situation.node, order.slice(i + 1));
        }
      }),
    );
  });

  test('exactly the interfaces that somebody leaves by filter loosely', () => {
    fc.assert(
      fc.property(anyOrder, ([situation, order]) => {
        const kernel = nodeWith(situation);
        const all = new Set(filtersOf(situation.node, order));
        for (const [i, attachment] of order.entries()) {
          release(kernel, attachment, remembered(situation));
          const needed = filtersOf(situation.node, order.slice(i + 1));
          for (const name of all) assert.equal(kernel.sysctls.get(name), needed.includes(name) ? '2' : '1', name);
        }
      }),
    );
  });

  test('several attachments at once leave what the others need', () => {
    fc.assert(
      fc.property(anyOrder, fc.nat(6), ([situation, order], count) => {
        const kernel = nodeWith(situation);
        const marks = order.slice(0, count).map(({ mark }) => mark);
        const elements = kernel.podElements().filter(({ comment = '' }) => marks.includes(comment));
        take(kernel, elements, remembered(situation));
        requireExactly(kernel, situation.node, order.slice(count));
      }),
    );
  });
});

describe('what all exits with a fast path share', () => {
  const usedBy = (node: NodeState, attachments: readonly SteeredAttachment[]): NodeState => {
    const used = new Set(attachments.flatMap((one) => needsOf(node, one).exits));
    return { ...node, exits: node.exits.filter((exit) => used.has(exit)) };
  };
  const ofFastPath = (objects: readonly HostObject[]) =>
    byKey(objects.filter((object) => needsEgressHook(object)).map(asListed));

  test('is after each release as the exits that are left want it', () => {
    const anyFast = fc.tuple(anyOrder, fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }));
    fc.assert(
      fc.property(anyFast, ([[situation, order], isFast]) => {
        const exits = situation.node.exits.map((exit, i) => ({
          ...exit,
          ...(isFast[i % 8] && { fastPath: true as const }),
        }));
        let node = usedBy({ ...situation.node, exits }, order);
        const kernel = nodeWith({ node, attachments: order });
        for (const [i, attachment] of order.entries()) {
          release(kernel, attachment, { exits: node.exits, sysctls: {} }, node);
          const left = order.slice(i + 1);
          node = usedBy(node, left);
          assert.deepEqual(
            ofFastPath(kernel.contents()),
            ofFastPath(left.flatMap((one) => desired(node, needsOf(node, one)))),
          );
        }
      }),
    );
  });

  const own = attachment({ mark: 'pods/own/eth0', addresses: ['10.0.0.9'], program: 'program-own' });
  const byTwin = attachment({
    program: 'program-twin',
    matches: [{ policy: 'b', family: 4, destinations: ['0.0.0.0/0'], except: [], exit: 'backup' }],
  });
  const fast = { ...partners, fastPath: true as const };

  test('goes on to count for the exit that is left of two with one address', () => {
    const twin = { ...fast, name: 'backup', id: 300 };
    const both = { ...node, exits: [fast, twin] };
    const kernel = nodeWith({ node: both, attachments: [own, byTwin] });
    const counting = () => kernel.elements().flatMap(({ set, comment }) => (set.startsWith('fast') ? [comment] : []));
    assert.deepEqual(new Set(counting()), new Set([String(fast.id)]));
    release(kernel, own, { exits: both.exits, sysctls: {} }, both);
    assert.deepEqual(new Set(counting()), new Set(['300']));
  });

  test('stays as it is without a record, and adds nothing that is missing', () => {
    const both = { ...node, exits: [fast] };
    const kernel = nodeWith({ node: both, attachments: [own] });
    assert.deepEqual(fastPathLeft(kernel.ourState([]), [], undefined), []);
    const state = { ...kernel.ourState([]), chains: [], fast: [] };
    assert.deepEqual(fastPathLeft(state, [], both), []);
  });
});

describe('a release', () => {
  const own = attachment({ mark: 'pods/own/eth0', addresses: ['10.0.0.9'], program: 'program-own' });
  const byBackup = attachment({
    program: 'program-backup',
    matches: [{ policy: 'b', family: 4, destinations: ['0.0.0.0/0'], except: [], exit: 'backup' }],
  });
  const known = (exits: NodeState['exits']): Remembered => ({ routeTable: node.routeTable, exits, sysctls: {} });

  test('of an exit of two families leaves the rules of the family that another exit has', () => {
    const kernel = nodeWith({ node, attachments: [own, byBackup] });
    release(kernel, own, known(node.exits));
    const families = kernel.contents().flatMap((object) => (object.kind === 'rule' ? [object.family] : []));
    assert.deepEqual(families, [4, 4, 4]);
  });

  test('takes the routes and rules of an exit that never got its chain', () => {
    const kernel = nodeWith({ node, attachments: [own] });
    const halfDone = changesFor(kernel, node, byBackup)
      .map(({ object }) => object)
      .filter((object) => object.kind === 'rule' || object.kind === 'route');
    kernel.setUpOutside(halfDone);
    kernel.apply(remove(released(kernel.ourState([]), [], known(node.exits))));
    requireExactly(kernel, node, [own]);
  });

  test('takes the routes of an exit that got neither rule nor chain, when it is told their table', () => {
    const kernel = nodeWith({ node, attachments: [own] });
    kernel.setUpOutside(desired(node, needsOf(node, byBackup)).filter((object) => object.kind === 'route'));
    const tables = node.exits.map(({ id }) => node.routeTable + id);
    kernel.apply(remove(released(kernel.ourState(tables), [], known(node.exits))));
    requireExactly(kernel, node, [own]);
  });

  test('takes all that spreads an exit over its addresses, also when somebody deleted the chain of the exit', () => {
    const spread: ResolvedExit = { ...backup, ways: [{ family: 4, addresses: ['172.19.0.5', '172.19.0.6'] }] };
    const both = { ...node, exits: [partners, spread] };
    const kernel = nodeWith({ node: both, attachments: [own, byBackup] });
    const elements = kernel.podElements().filter(({ comment }) => comment === byBackup.mark);
    const state = kernel.ourState([]);
    const chains = state.chains.filter(({ name }) => name !== chainNames.exit(spread.id));
    const gone = released({ ...state, chains }, elements, known(both.exits)).map(keyOf);
    for (const name of ['chain exit-300-snat', 'set exit-300-slots4', `element spread ${exitDeviceKey(300, 'eth2')}`]) {
      assert.ok(gone.includes(name), name);
    }
  });

  test('takes a program that no element leads to any more', () => {
    const kernel = nodeWith({ node, attachments: [own, byBackup] });
    kernel.transact(
      kernel.podElements().flatMap((object) => (object.comment === own.mark ? [{ verb: 'delete', object }] : [])),
    );
    kernel.apply(remove(released(kernel.ourState([]), [], known(node.exits))));
    requireExactly(kernel, node, [byBackup]);
  });

  test('takes rules and routes also when somebody deleted the table', () => {
    const kernel = nodeWith({ node, attachments: [own, byBackup] });
    kernel.deleteTables();
    kernel.apply(remove(released(kernel.ourState([]), [], known(node.exits))));
    assert.deepEqual(kernel.contents(), []);
  });

  test('of one of two exits by one interface leaves the chain that counts there, and the other exit’s count', () => {
    const twin = { ...backup, device: partners.device };
    const both = { ...node, exits: [partners, twin] };
    const kernel = nodeWith({ node: both, attachments: [own, byBackup] });
    const objects = release(kernel, own, known(both.exits)).filter(needsEgressHook);
    assert.deepEqual(objects.map(keyOf), [`netdev element sent ${exitDeviceKey(partners.id, partners.device)}`]);
    requireExactly(kernel, both, [byBackup]);
  });

  test('of the last exit leaves nothing that counts, though others are dropped', () => {
    const dropped = attachment({
      mark: 'pods/d/eth0',
      addresses: ['10.0.0.8'],
      program: 'program-d',
      matches: [{ policy: 'd', family: 4, destinations: ['0.0.0.0/0'], except: [], exit: 'drop' }],
    });
    const kernel = nodeWith({ node, attachments: [own, dropped] });
    const objects = release(kernel, own, known(node.exits)).filter(
      (object) => 'family' in object && object.family === 'netdev',
    );
    assert.deepEqual(objects, [netdevTable]);
    requireExactly(kernel, node, [dropped]);
  });

  test('takes the chain at an interface that an exit had before', () => {
    const moved = { ...node, exits: [{ ...partners, device: 'eth9' }] };
    const kernel = nodeWith({ node, attachments: [own] });
    kernel.apply(changesFor(kernel, moved, own));
    kernel.apply(remove(released(kernel.ourState([]), [], known(moved.exits))));
    requireExactly(kernel, moved, [own]);
  });

  test('takes what counts also when somebody deleted the table that steers', () => {
    const kernel = nodeWith({ node, attachments: [own] });
    kernel.transact([{ verb: 'delete', object: { kind: 'table' } }]);
    kernel.apply(remove(released(kernel.ourState([]), [], known(node.exits))));
    assert.deepEqual(kernel.contents(), []);
  });

  test('changes nothing where nothing is', () => {
    const empty = new FakeKernel().ourState([]);
    assert.deepEqual(released(empty, [], { exits: [], sysctls: {} }), []);
  });

  test('puts a filter back when the last of two exits by one interface goes', () => {
    const twin = { ...backup, device: partners.device };
    const both = { ...node, exits: [partners, twin] };
    const situation = { node: both, attachments: [own, byBackup] };
    const kernel = nodeWith(situation);
    const filter = () => kernel.sysctls.get(reversePathName(partners.device));
    release(kernel, own, remembered(situation));
    assert.equal(filter(), '2');
    release(kernel, byBackup, remembered(situation));
    assert.equal(filter(), '1');
  });
});
