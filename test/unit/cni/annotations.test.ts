import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { EgressError } from '../../../src/base/errors.ts';
import { readAnnotations } from '../../../src/cni/annotations.ts';

const capability = 'io.kubernetes.cri.pod-annotations';
const read = (annotations: unknown) => readAnnotations({ runtimeConfig: { [capability]: annotations } });

describe('annotations on stdin', () => {
  test('are those with our prefix, without it', () => {
    const all = { 'egress.cni/exit': 'a', 'egress.cni/': '', 'egress.cni': 'x', 'x.egress.cni/exit': 'x', exit: 'x' };
    assert.deepEqual(read(all), { exit: 'a', '': '' });
  });

  test('may be missing, or what Go calls nil, or be nobody’s', () => {
    for (const annotations of [undefined, null, {}, { other: 'x' }]) assert.equal(read(annotations), undefined);
    for (const runtimeConfig of [undefined, null, {}, { bandwidth: {} }])
      assert.equal(readAnnotations({ runtimeConfig }), undefined);
  });

  test('of others may be what they like', () =>
    assert.deepEqual(read({ other: 7, 'egress.cni/exit': 'a' }), { exit: 'a' }));

  /** What stands there → the place and the reason. */
  const rows: readonly (readonly [unknown, string])[] = [
    [{ runtimeConfig: 'x' }, 'network configuration#/runtimeConfig: expected an object, got "x"'],
    [{ runtimeConfig: [] }, 'network configuration#/runtimeConfig: expected an object, got []'],
    [
      { runtimeConfig: { [capability]: ['a'] } },
      `network configuration#/runtimeConfig/${capability}: expected an object, got ["a"]`,
    ],
    [
      { runtimeConfig: { [capability]: { 'egress.cni/exit': null } } },
      `network configuration#/runtimeConfig/${capability}/egress.cni~1exit: expected a text, got null`,
    ],
  ];
  for (const [document, message] of rows) {
    test(`are refused with their place: ${JSON.stringify(document)}`, () => {
      assert.throws(() => readAnnotations(document as Record<string, unknown>), {
        code: 'invalid-configuration',
        message,
      });
    });
  }

  test('end in texts or in an error of ours, whatever stands there', () => {
    const anything = fc.oneof(
      fc.jsonValue(),
      fc.dictionary(fc.constantFrom('egress.cni/exit', '__proto__'), fc.jsonValue()),
    );
    fc.assert(
      fc.property(anything, (annotations) => {
        try {
          const own = Object.values(read(annotations) ?? {});
          assert.ok(own.every((value) => typeof value === 'string'));
        } catch (error) {
          assert.ok(error instanceof EgressError);
        }
      }),
    );
  });
});
