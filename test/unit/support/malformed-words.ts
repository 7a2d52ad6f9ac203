import type { Dice } from './breaking.ts';

/** Text that stands in a JSON document as it is, though no value has it: `1e400`, `-0`, a key that is there twice. */
export class Raw {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** Texts that mean something to some program, or nothing to any. */
export const words: readonly string[] = [
  '',
  ' ',
  'NaN',
  'null',
  'undefined',
  'true',
  '[object Object]',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '*',
  '?',
  '**',
  '.',
  '..',
  '../../etc/passwd',
  '/',
  '/dev/null\u0000',
  'caf\u00e9',
  'cafe\u0301',
  '\u202edefault',
  '\u0000',
  '\ud800',
  '\uFEFFdefault',
  'default\n',
  'a b',
  '"',
  '\\',
  "'; flush ruleset; '",
  'x'.repeat(64),
  'x'.repeat(100_000),
  '{"a":1}',
  '}',
  ']',
  '1',
];

/** Ranges that are right, right in an odd way, or wrong by little. */
export const rangeWords: readonly string[] = [
  '010.0.0.1',
  '1.2.3',
  '0x7f.1',
  '0x7f000001',
  '2130706433',
  '10.1.2.3/8',
  '10.0.0.0/-1',
  '10.0.0.0/33',
  '10.0.0.0/08',
  '10.0.0.0/ 8',
  '10.0.0.0/8/8',
  '10.0.0.0/',
  '10.0.0.0/1e1',
  '10.0.0.0/255.0.0.0',
  '10.0.0.1-10.0.0.9',
  '::ffff:10.0.0.0/104',
  '::ffff:10.0.0.1',
  '::10.0.0.1',
  'fe80::1%eth0',
  'fe80::%25eth0/64',
  '2001:DB8::/32',
  '2001:db8::1/32',
  '2001:db8:::/32',
  '[2001:db8::]/32',
  '2001:db8::/129',
  '1:2:3:4:5:6:7:8:9',
  '0.0.0.0/0',
  '0.0.0.0',
  '0.0.0.0/1',
  '::/0',
  '::',
  '0/0',
  '/0',
  '*',
  'any',
  'all',
  'localhost',
  '\u0663.0.0.0/8',
  '\uff11.0.0.0/8',
];

/** The same of ports. */
export const portWords: readonly string[] = [
  'tcp',
  'TCP',
  'tcp:',
  'tcp:0',
  'tcp:65536',
  'tcp:1-65536',
  'tcp:0-65535',
  'tcp:99999',
  'tcp:10-1',
  'tcp:-1',
  'tcp:1-',
  'tcp:443-443',
  'tcp:00443',
  'tcp:443 ',
  'tcp:*',
  'tcp:443,udp:53',
  'tcp:443-445-447',
  'tcp/443',
  'tcp:0x1bb',
  'tcp:4.43',
  'icmp:8',
  'icmp',
  'sctp',
  'gre',
  '6:443',
];

/** The same of globs and names. */
export const globWords: readonly string[] = [
  'def*',
  'd?fault',
  'DEFAULT',
  '[a-z]*',
  '.*',
  '(a+)+$',
  '*a*a*a*a*b',
  '!default',
  'de fault',
];

/** Deeper than what calls itself for each level can go. */
const deep = (open: string, inside: string, close: string) =>
  new Raw(open.repeat(20_000) + inside + close.repeat(20_000));

/** Values of all types where others are expected. */
export const junk: readonly unknown[] = [
  null,
  null,
  true,
  false,
  0,
  1,
  -1,
  new Raw('-0'),
  1.5,
  new Raw('1e400'),
  new Raw('-1e400'),
  new Raw('1e-400'),
  new Raw('1.0'),
  4294967296,
  new Raw('123456789012345678901234567890'),
  2 ** 53,
  '',
  '',
  '0',
  'NaN',
  'undefined',
  '*',
  '0.0.0.0/0',
  '__proto__',
  'x'.repeat(100_000),
  [],
  [],
  {},
  {},
  [[]],
  [null],
  [''],
  [{}],
  { length: 1, 0: 'x' },
  { toString: 1, valueOf: 1 },
  new Raw('{"__proto__":{"optIn":false,"destinations":["0.0.0.0/0"]}}'),
  new Raw('{"constructor":{"prototype":{}}}'),
  deep('[', '', ']'),
  deep('{"a":', '1', '}'),
];

const pairs: readonly string[] = [
  'K8S_POD_NAMESPACE=default',
  'K8S_POD_NAMESPACE=default',
  'K8S_POD_NAMESPACE=other',
  'K8S_POD_NAMESPACE=',
  'K8S_POD_NAMESPACE',
  'K8S_POD_NAMESPACE==default',
  'K8S_POD_NAMESPACE=default ',
  ' K8S_POD_NAMESPACE=default',
  'K8S_POD_NAMESPACE="default"',
  'K8S_POD_NAMESPACE=*',
  'K8S_POD_NAMESPACE=def\nault',
  'k8s_pod_namespace=default',
  'K8S_POD_NAME=web-0',
  'K8S_POD_NAME=web-0=1',
  'K8S_POD_NAME=*',
  'K8S_POD_UID=1',
  'IgnoreUnknown=1',
  '__proto__=x',
  'constructor=x',
  '=',
  '==',
  '',
  ' ',
  '"',
  `K8S_POD_NAME=${'x'.repeat(100_000)}`,
];

/** CNI_ARGS in any order, with anything between. */
export const anyArgs = (dice: Dice): string =>
  Array.from({ length: dice.below(7) }, () => dice.pick(pairs)).join(dice.pick([';', ';', ';', ';;', ',', '; ', '\n']));

/** What a variable may hold: everything but a zero byte. */
export const anyVariable = (dice: Dice): string =>
  dice.pick([
    ...words.filter((word) => !word.includes('\u0000')),
    'eth0',
    'eth0/1',
    'net1',
    'e:1',
    'x'.repeat(15),
    'é'.repeat(8),
  ]);
