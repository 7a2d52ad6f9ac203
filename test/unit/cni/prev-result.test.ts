import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { EgressError, type ErrorCode } from '../../../src/base/errors.ts';
import { readPrevResult } from '../../../src/cni/prev-result.ts';

/** As bridge gives it: the bridge, the host's end, the pod's end. */
const bridge = {
  cniVersion: '1.0.0',
  interfaces: [
    { name: 'cni0', mac: '02:00:00:00:00:01' },
    { name: 'veth5f1c', mac: '02:00:00:00:00:02' },
    { name: 'eth0', mac: '02:00:00:00:00:03', sandbox: '/run/netns/a' },
  ],
  ips: [
    { interface: 2, address: '10.0.0.174/24', gateway: '10.0.0.1' },
    { interface: 2, address: 'FD00:0::AE/64' },
  ],
  routes: [{ dst: '0.0.0.0/0' }],
};

const read = (prevResult: unknown) => readPrevResult({ prevResult }, 'eth0');

function codeOf(prevResult: unknown): ErrorCode | undefined {
  try {
    read(prevResult);
    return undefined;
  } catch (error) {
    assert.ok(error instanceof EgressError, String(error));
    return error.code;
  }
}

/** The same value as a Go program without JSON tags writes it. */
function withCapitals(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withCapitals);
  if (value === null || typeof value !== 'object') return value;
  const capital = (key: string) => key.replace(/^./, (first) => first.toUpperCase());
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [capital(key), withCapitals(member)]));
}

describe('prevResult', () => {
  const expected = {
    addresses: ['10.0.0.174', 'fd00::ae'],
    subnets: ['10.0.0.0/24', 'fd00::/64'],
    hostInterfaces: ['cni0', 'veth5f1c'],
  };

  test('gives the pod’s addresses, their networks and the host’s interfaces', () => {
    assert.deepEqual(read(bridge), expected);
  });

  test('may have keys with capitals', () => {
    assert.deepEqual(read(withCapitals(bridge)), expected);
  });

  test('names a network once, however many addresses lie in it', () => {
    assert.deepEqual(read({ ips: [{ address: '10.0.0.1/24' }, { address: '10.0.0.2/24' }] }).subnets, ['10.0.0.0/24']);
  });

  test('may have no addresses, and no interfaces', () => {
    const nothing = { addresses: [], subnets: [], hostInterfaces: [] };
    for (const result of [{}, { ips: [], interfaces: [] }, { cniVersion: '1.0.0', dns: {} }]) {
      assert.deepEqual(read(result), nothing);
    }
  });
});

describe('an address of prevResult', () => {
  const addressesWith = (index: unknown) =>
    read({ ...bridge, ips: [{ address: '10.0.0.174/24', interface: index }] }).addresses;

  test('is the pod’s when it names no interface', () => {
    assert.deepEqual([undefined, null].map(addressesWith), [['10.0.0.174'], ['10.0.0.174']]);
  });

  test('is the pod’s when it names the pod’s interface, and nobody’s else', () => {
    assert.deepEqual(
      [2, 0, 1, 3, -1, 1.5].map((index) => addressesWith(index).length),
      [1, 0, 0, 0, 0, 0],
    );
  });

  test('is not the pod’s when the interface of that name is on the host', () => {
    const ips = [{ address: '10.0.0.174/24', interface: 0 }];
    assert.deepEqual(read({ interfaces: [{ name: 'eth0', sandbox: '' }], ips }).addresses, []);
    assert.deepEqual(read({ interfaces: [{ name: 'eth0', sandbox: '/x' }], ips }).addresses, ['10.0.0.174']);
  });

  for (const address of [
    '',
    '10.0.0.11',
    '10.0.0.174/33',
    '10.0.0/24',
    'fd00::/129',
    '10.0.0.1/24/24',
    7,
    null,
    {},
    [],
  ]) {
    test(`cannot be ${JSON.stringify(address)}`, () => {
      assert.equal(codeOf({ ips: [{ address }] }), 'decoding-failure');
    });
  }
});

describe('a prevResult that is none', () => {
  for (const [prevResult, code] of [
    [undefined, 'no-prev-result'],
    [null, 'no-prev-result'],
    [{ ips: {} }, 'decoding-failure'],
    [{ interfaces: 'eth0' }, 'decoding-failure'],
    [{ ips: [null] }, 'decoding-failure'],
    [{ interfaces: [null] }, 'decoding-failure'],
  ] as const) {
    test(`is refused as ${code} when it is ${JSON.stringify(prevResult)}`, () =>
      assert.equal(codeOf(prevResult), code));
  }

  test('is refused in words of ours or taken, never something else', () => {
    const anyMember = fc.oneof(fc.jsonValue(), fc.constantFrom('10.0.0.1/24', 0, 'eth0', '/run/netns/a'));
    const anyItem = fc.oneof(
      fc.jsonValue(),
      fc.record(
        { name: anyMember, sandbox: anyMember, address: anyMember, interface: anyMember },
        { requiredKeys: [] },
      ),
    );
    const anyResult = fc.oneof(fc.jsonValue(), fc.record({ ips: fc.array(anyItem), interfaces: fc.array(anyItem) }));
    fc.assert(
      fc.property(anyResult, (result) => {
        codeOf(result);
      }),
      { numRuns: 1000 },
    );
  });
});
