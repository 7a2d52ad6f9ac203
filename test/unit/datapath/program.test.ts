import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { desiredProgram } from '../../../src/datapath/program.ts';
import { released } from '../../../src/datapath/release.ts';
import type { Chain, NftObject, NftSet } from '../../../src/nftables/object.ts';
import { printRule, printScript } from '../../../src/nftables/script.ts';
import type { Match } from '../../../src/policy/match.ts';
import { attachment, node } from './samples.ts';

const programOf = (...matches: readonly Match[]) => desiredProgram(node, attachment({ matches })) as NftObject[];
const chainOf = (objects: readonly NftObject[]) => objects.find((object): object is Chain => object.kind === 'chain');
const setsOf = (objects: readonly NftObject[]) => objects.filter((object): object is NftSet => object.kind === 'set');

/** What a match of the family towards everything is in the program, and the sets of ports that it looks into. */
function rulesFor(ports: readonly string[], family: 4 | 6 = 4): { rules: string[]; sets: string[] } {
  const destinations = [family === 4 ? '0.0.0.0/0' : '::/0'];
  const objects = programOf({ policy: 'p', family, destinations, except: [], ports, exit: 'drop' });
  return {
    rules: (chainOf(objects)?.rules ?? []).slice(4).map((rule) => printRule(rule).replaceAll('program-5f1c-', '')),
    sets: setsOf(objects)
      .slice(3)
      .map(({ name, intervals = [] }) => `${name.replace('program-5f1c-', '')} ${intervals}`),
  };
}

test('a program with ports is these sets and rules', () => {
  const all4 = { policy: 'p', family: 4, destinations: ['0.0.0.0/0'] } as const;
  const objects = programOf(
    {
      ...all4,
      destinations: ['203.0.113.0/24'],
      except: [],
      ports: ['tcp:5060', 'udp:7', 'udp:5060-5061'],
      exit: 'partners',
    },
    { ...all4, except: ['192.0.2.0/24'], ports: ['icmp', 'tcp:25'], exit: 'drop' },
    { ...all4, except: [], ports: ['icmp', 'sctp'], exit: 'node' },
    { ...all4, except: [], exit: 'backup' },
    {
      ...all4,
      family: 6,
      destinations: ['2001:db8::/32'],
      except: [],
      ports: ['icmp', 'udp', 'sctp:1-9'],
      exit: 'partners',
    },
    { ...all4, family: 6, destinations: ['::/0'], except: [], ports: ['tcp:1-1023'], exit: 'backup' },
  );
  const golden = readFileSync(new URL('golden/ports.txt', import.meta.url), 'utf8');
  assert.equal(printScript(objects.map((object) => ({ verb: 'add', object }))), golden);
});

describe('a match with', () => {
  const icmp = 'ip daddr @1 meta l4proto icmp';

  test('ports takes packets to them, and the errors about connections to them', () => {
    assert.deepEqual(rulesFor(['udp:53', 'udp:5060-5061']), {
      rules: [
        'ip daddr @1 udp dport @1-udp goto exit-drop',
        `${icmp} ct protocol udp ct reply proto-src @1-udp goto exit-drop`,
      ],
      sets: ['1-udp 53,5060-5061'],
    });
  });

  test('a whole protocol needs no set', () => {
    assert.deepEqual(rulesFor(['sctp']), {
      rules: ['ip daddr @1 meta l4proto sctp goto exit-drop', `${icmp} ct protocol sctp goto exit-drop`],
      sets: [],
    });
  });

  test('icmp takes pings, what conntrack calls invalid, and errors about pings; not those about other connections', () => {
    assert.deepEqual(rulesFor(['icmp']).rules, [
      `${icmp} ct state ! related goto exit-drop`,
      `${icmp} ct protocol icmp goto exit-drop`,
    ]);
  });

  test('icmp is about ICMPv6 for IPv6', () => {
    const icmp6 = 'ip6 daddr @1 meta l4proto ipv6-icmp';
    assert.deepEqual(rulesFor(['icmp', 'tcp'], 6).rules, [
      `${icmp6} ct state ! related goto exit-drop`,
      `${icmp6} ct protocol ipv6-icmp goto exit-drop`,
      'ip6 daddr @1 meta l4proto tcp goto exit-drop',
      `${icmp6} ct protocol tcp goto exit-drop`,
    ]);
  });

  test('no ports is one rule for all packets', () => {
    const objects = programOf({ policy: 'p', family: 4, destinations: ['0.0.0.0/0'], except: [], exit: 'drop' });
    assert.deepEqual(chainOf(objects)?.rules.slice(4).map(printRule), ['meta nfproto ipv4 goto exit-drop']);
  });
});

test('the sets of ports go with their program', () => {
  const objects = programOf(
    { policy: 'p', family: 4, destinations: ['0.0.0.0/0'], except: [], ports: ['tcp:25', 'sctp:7'], exit: 'drop' },
    { policy: 'p', family: 6, destinations: ['::/0'], except: [], ports: ['udp:25'], exit: 'drop' },
  );
  const other: Chain = { kind: 'chain', name: 'program-other', rules: [] };
  const chain = chainOf(objects) ?? other;
  const state = {
    ...{ table: true, fast: [], uplinks: [], exitElements: [], kept: [], outside: [], others: [] },
    chains: [
      { ...chain, references: 0 },
      { ...other, references: 1 },
    ],
    sets: setsOf(objects),
  };
  assert.deepEqual(
    released(state, [], { exits: [], sysctls: {} }).flatMap((object) => (object.kind === 'set' ? [object.name] : [])),
    ['cluster4', 'cluster6', '1', '1-tcp', '1-sctp', '2', '2-udp'].map((name) => `program-5f1c-${name}`),
  );
});
