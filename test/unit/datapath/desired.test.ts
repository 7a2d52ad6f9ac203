import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { SteeredAttachment } from '../../../src/datapath/attachment.ts';
import { desired, exitsOf } from '../../../src/datapath/desired.ts';
import { difference, keyOf } from '../../../src/datapath/difference.ts';
import { printChanges } from '../../../src/datapath/print.ts';
import type { Match } from '../../../src/policy/match.ts';
import { FakeKernel } from '../support/fake-kernel.ts';
import { anySituation } from './arbitraries.ts';
import { attachment, backup, node } from './samples.ts';

const golden = (name: string) => readFileSync(new URL(`golden/${name}.txt`, import.meta.url), 'utf8');

/** The commands that an attachment takes on a node where others are set up already. */
function commands(steered: SteeredAttachment, ...others: readonly SteeredAttachment[]): string {
  const kernel = new FakeKernel();
  const missing = (one: SteeredAttachment) => difference(desired(node, one), kernel.observe(node, one, true));
  for (const other of others) kernel.apply(missing(other));
  return printChanges(missing(steered));
}

const everywhere = (exit: string): Match[] => [
  { policy: 'p', family: 4, destinations: ['0.0.0.0/0'], except: [], exit },
  { policy: 'p', family: 6, destinations: ['::/0'], except: [], exit },
];

/** One that no exit is set up for. */
const first = attachment({
  mark: 'pods/first/eth0',
  addresses: ['10.0.0.9'],
  program: 'program-0',
  matches: everywhere('drop'),
});

test('the first attachment on a node takes all that steers it by its exit', () => {
  assert.equal(commands(attachment()), golden('dual-stack'));
});

describe('a further attachment takes', () => {
  test('nothing but its elements when it shares a program', () => {
    assert.equal(
      commands(attachment({ mark: 'pods/other/eth0', addresses: ['10.0.0.7', 'fd00::7'] }), attachment()),
      golden('shared'),
    );
  });

  test('nothing when it is set up', () => {
    assert.equal(commands(attachment(), attachment()), '');
  });

  test('its exit, and a verdict to drop the family that the exit lacks', () => {
    assert.equal(commands(attachment({ matches: everywhere('backup') }), first), golden('ipv4-only'));
  });

  test('no routing at all when its policies only drop, or leave it to the node', () => {
    const matches: Match[] = [
      { policy: 'own', family: 4, destinations: ['198.51.100.0/24'], except: [], exit: 'node' },
      ...everywhere('drop'),
    ];
    assert.equal(commands(attachment({ matches }), first), golden('built-in'));
  });

  test('sets for exceptions, and for the networks of the pod', () => {
    const matches: Match[] = [
      {
        policy: 'p',
        family: 4,
        destinations: ['203.0.113.0/25', '203.0.113.128/25'],
        except: ['203.0.113.9/32', '203.0.113.64/26'],
        exit: 'backup',
      },
      { policy: 'p', family: 4, destinations: ['0.0.0.0/0'], except: ['192.0.2.0/24'], exit: 'drop' },
    ];
    const subnets = ['192.168.7.0/24', 'fd07::/64'];
    assert.equal(commands(attachment({ addresses: ['192.168.7.9'], subnets, matches }), first), golden('ranges'));
  });
});

describe('what is desired', () => {
  test('can be written at once: nothing is named before it is there', () => {
    fc.assert(
      fc.property(anySituation, ({ node, attachments }) => {
        for (const attachment of attachments) new FakeKernel().apply(difference(desired(node, attachment), []));
      }),
    );
  });

  test('has no two objects of one key', () => {
    fc.assert(
      fc.property(anySituation, ({ node, attachments }) => {
        const keys = desired(node, attachments[0] ?? attachment()).map(keyOf);
        assert.deepEqual(keys, [...new Set(keys)]);
      }),
    );
  });
});

test('the highest bit of the mark may be ours', () => {
  assert.doesNotThrow(() => desired({ ...node, fwmark: 0x80000000 }, attachment()));
});

test('the exits of an attachment are those that its matches name, the built-in ones left out', () => {
  assert.deepEqual(exitsOf(node, attachment({ matches: [...everywhere('backup'), ...everywhere('drop')] })), [backup]);
  assert.deepEqual(exitsOf(node, attachment({ matches: everywhere('node') })), []);
});
