import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Form, taken, unsure } from '../../../src/base/form.ts';
import { chainEntryForm, keptForm, policyDocumentForm } from '../../../src/config/forms.ts';
import { chainEntrySchema, keptSchema, policyDocumentSchema } from '../../../src/config/schema.ts';
import { recordForms } from '../../../src/store/forms.ts';
import { recordSchemas } from '../../../src/store/record-schema.ts';
import { sample, sampleNode } from '../store/records.ts';
import { exit, gateway, node, policy } from './samples.ts';

interface Schema {
  safeParse(value: unknown): { readonly success: boolean; readonly data?: unknown };
}

const selector = { matchLabels: { app: 'web' }, matchExpressions: [{ key: 'a/b', operator: 'In', values: ['c'] }] };

/** With every option, in forms that are not canonical where there are some. */
const document = {
  $schema: './policy.schema.json',
  kubernetes: false,
  clusterCIDRs: ['10.1.2.3/8', 'FD00:0::/48'],
  nodes: [node, { address: '2001:DB8::1', podCIDRs: ['10.1.0.0/24'] }],
  vrrp: { interval: 100, preempt: true },
  tunnel: { vni: 7, port: 4788, replyPath: 'tunnel', allowedSources: ['192.0.2.0/24'] },
  fwmark: '0x4000',
  routeTable: 500000,
  rulePriority: 700,
  checkSources: true,
  extraSources: [{ namespaces: ['kube-*'], pods: ['a?'], addresses: ['192.0.2.9'] }],
  exits: [
    { ...exit, id: 7, nextHop: ['192.0.2.1', 'FE80:0::1'], onlink: true, addresses: ['192.0.2.7', '2001:DB8:0::7'] },
    { ...exit, name: 'one-hop', nextHop: '192.0.2.1', addressPerFlow: true, annotationNamespaces: ['*'] },
    { ...gateway, announce: 'vrrp', vrid: 7, addressesOn: ['lo'], onUnavailable: 'node' },
    { ...gateway, name: 'ports', portsPerPod: 512, portBlocksPerNamespace: 4 },
  ],
  policies: [
    { ...policy, pods: ['web-*'], podSelector: selector, namespaceSelector: {}, destinations: ['203.0.113.9/24'] },
    { ...policy, except: ['203.0.113.0'], ports: ['tcp:1', 'udp:5-6', 'icmp'], priority: -1, optIn: true },
    { ...policy, onChange: 'cut', destinations: ['::/0'], ports: ['tcp', 'udp:53-53'] },
  ],
};
const entry = {
  ...{ ...document, $schema: undefined },
  type: 'egress',
  name: 'pods',
  cniVersion: '1.0.0',
  capabilities: { ports: true },
  ...{ runtimeConfig: { a: 1 }, args: null, prevResult: {} },
  policyFile: '/p.json',
  node: '192.0.2.1',
  dataDir: '/d',
  draining: true,
  logFile: '/l',
  logLevel: 'info',
};
const version = sample().version;
const time = '2026-11-29T00:00:00Z';
const records: Record<keyof typeof recordForms, object> = {
  attachment: sample({
    pod: { labels: { pod: { a: 'b' }, namespace: {} }, annotations: { c: 'd' } },
    sources: { devices: ['eth0'], others: ['192.0.2.0/24'] },
    holds: true,
    ports: [{ exit: 'partners', first: 1024, last: 2047 }],
    cluster: ['10.0.0.0/8'],
  }),
  program: { version, program: 'program-1', matches: sample().outline, cluster: [] },
  node: { ...sampleNode, behind: [{ device: 'lo', address: '::1' }], othersTables: ['inet'], unmarked: true },
  moves: { version, gateways: { a: '192.0.2.1' } },
  election: {
    version,
    exits: { a: { holds: true, gateway: '::1', by: 'vrrp', addresses: [], since: time, notes: ['a'] } },
  },
  agent: {
    ...{ version, startedAt: time, lookedAt: time, failures: [], mended: { at: time, what: [] } },
    gateways: [{ exit: 'a', gateway: '::1', answers: true, since: time, moved: { at: time, from: '::2' } }],
  },
};

const pairs: readonly (readonly [name: string, form: Form, schema: Schema, value: unknown])[] = [
  ['policy documents', policyDocumentForm, policyDocumentSchema, document],
  ['chain entries', chainEntryForm, chainEntrySchema, JSON.parse(JSON.stringify(entry))],
  ['kept objects', keptForm, keptSchema, { version: 1, refused: ['a'], document }],
  ...Object.entries(records).map(
    ([name, value]) =>
      [
        `records: ${name}`,
        recordForms[name as keyof typeof recordForms],
        recordSchemas[name as keyof typeof recordForms],
        value,
      ] as const,
  ),
];

/** What stands in the place of something else: right in some places, wrong in most. */
const stranger = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom<unknown>(
    undefined,
    0,
    -0,
    1,
    1.5,
    2 ** 32,
    2 ** 53,
    Number.POSITIVE_INFINITY,
    true,
    '',
    '/',
    'lo',
    '0x8000',
    '0x3',
  ),
  fc.constantFrom<unknown>('node', 'drop', '127.0.0.1', '::ffff:10.0.0.1', '10.0.0.0/33', '224.0.0.0/4', 'tcp:0'),
  fc.constantFrom<unknown>([], {}, ['192.0.2.1', '192.0.2.1'], ['::1'], [[]], JSON.parse('{"__proto__":"a"}')),
);

/** A change of a value: at a place that the numbers lead to, something is replaced, left out or added. */
interface Change {
  readonly way: readonly number[];
  readonly kind: 'replace' | 'remove' | 'add';
  readonly by: unknown;
}

const change: fc.Arbitrary<Change> = fc.record({
  way: fc.array(fc.nat(30), { minLength: 1, maxLength: 6 }),
  kind: fc.constantFrom('replace', 'remove', 'add'),
  by: stranger,
});

function changed(value: unknown, { way: [step = 0, ...way], kind, by }: Change): unknown {
  if (typeof value !== 'object' || value === null) return by;
  const entries = Object.entries(value);
  if (kind === 'add' && way.length === 0) entries.push([Array.isArray(value) ? String(entries.length) : 'strange', by]);
  const at = entries.length === 0 ? 0 : step % entries.length;
  const made = entries.flatMap(([key, member], i): [string, unknown][] => {
    if (i !== at || (kind === 'add' && way.length === 0)) return [[key, member]];
    if (way.length > 0) return [[key, changed(member, { way, kind, by })]];
    return kind === 'remove' ? [] : [[key, by]];
  });
  return Array.isArray(value) ? made.map(([, member]) => member) : Object.fromEntries(made);
}

describe('a form', () => {
  for (const [name, form, schema, value] of pairs) {
    test(`takes ${name} with all that they can have, and gives what the schema gives, in its order`, () => {
      const before = structuredClone(value);
      const result = taken(form, value);
      assert.notEqual(result, unsure);
      assert.deepEqual(result, schema.safeParse(value).data);
      assert.equal(JSON.stringify(result), JSON.stringify(schema.safeParse(value).data));
      assert.deepEqual(value, before);
    });

    test(`takes no ${name} that the schema refuses, and all changed ones that it accepts`, () => {
      let accepted = 0;
      fc.assert(
        fc.property(fc.array(change, { minLength: 1, maxLength: 2 }), (changes) => {
          const given = changes.reduce(changed, value);
          const result = taken(form, given);
          const { success, data } = schema.safeParse(given);
          if (success) accepted += 1;
          if (result !== unsure) assert.deepEqual([success, result], [true, data]);
          // What JSON cannot hold, and what an object cannot simply have, is left to the schema.
          else if (isPlain(given)) assert.equal(success, false);
        }),
        { numRuns: 300 },
      );
      assert.ok(accepted > 0);
    });
  }
});

const isPlain = (value: unknown): boolean =>
  JSON.stringify(value)?.includes('__proto__') === false && !holdsNothing(value);

const holdsNothing = (value: unknown): boolean =>
  value === undefined || (typeof value === 'object' && value !== null && Object.values(value).some(holdsNothing));
