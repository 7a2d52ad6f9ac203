import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { EgressError, type ErrorCode } from '../../../src/base/errors.ts';
import { parseStdin, rawMember } from '../../../src/cni/stdin.ts';
import { isAtLeast, supportedVersions } from '../../../src/cni/versions.ts';

const valid = { name: 'pods', cniVersion: '1.0.0', type: 'egress' };

describe('the network configuration', () => {
  test('is taken with its name, its version and the whole document', () => {
    const document = { ...valid, more: { a: [1] } };
    assert.deepEqual(parseStdin(JSON.stringify(document)), { name: 'pods', cniVersion: '1.0.0', document });
  });

  /** Text on stdin → the code of the error. */
  const rows: readonly (readonly [string, string, ErrorCode])[] = [
    ['nothing', '', 'decoding-failure'],
    ['no JSON', '{"name": "pods"', 'decoding-failure'],
    ['more than one document', '{}{}', 'decoding-failure'],
    ['null', 'null', 'decoding-failure'],
    ['a list', '[]', 'decoding-failure'],
    ['a text', '"x"', 'decoding-failure'],
    ['no name', JSON.stringify({ ...valid, name: undefined }), 'invalid-configuration'],
    ['a name that is no text', JSON.stringify({ ...valid, name: 7 }), 'invalid-configuration'],
    ['a name that is a path', JSON.stringify({ ...valid, name: '../x' }), 'invalid-configuration'],
    ['no version', JSON.stringify({ ...valid, cniVersion: undefined }), 'incompatible-version'],
    ['a version before chaining', JSON.stringify({ ...valid, cniVersion: '0.2.0' }), 'incompatible-version'],
    ['a version of the future', JSON.stringify({ ...valid, cniVersion: '2.0.0' }), 'incompatible-version'],
    ['a version that is a number', JSON.stringify({ ...valid, cniVersion: 1 }), 'incompatible-version'],
  ];
  for (const [what, text, code] of rows) {
    test(`with ${what} is refused as ${code}`, () => {
      assert.throws(
        () => parseStdin(text),
        (error) => error instanceof EgressError && error.code === code,
      );
    });
  }

  for (const cniVersion of supportedVersions) {
    test(`may have version ${cniVersion}`, () => {
      assert.equal(parseStdin(JSON.stringify({ ...valid, cniVersion })).cniVersion, cniVersion);
    });
  }
});

test('a version is at least itself and every older one', () => {
  const answers = supportedVersions.map((version) => supportedVersions.map((minimum) => isAtLeast(version, minimum)));
  assert.deepEqual(
    answers,
    supportedVersions.map((_, i) => supportedVersions.map((_, j) => i >= j)),
  );
  assert.equal(isAtLeast('0.2.0', '0.3.0'), false);
});

/** What JSON allows between tokens. */
const space = fc.stringMatching(/^[ \t\r\n]{0,3}$/);

/** A text of JSON, each character perhaps as an escape. */
const printedString = (text: string): fc.Arbitrary<string> =>
  fc
    .array(fc.boolean(), { minLength: text.length, maxLength: text.length })
    .map((escaped) =>
      Array.from({ length: text.length }, (_, i) =>
        escaped[i] ? `\\u${text.charCodeAt(i).toString(16).padStart(4, '0')}` : JSON.stringify(text[i]).slice(1, -1),
      ),
    )
    .map((characters) => `"${characters.join('')}"`);

const list = (open: string, items: readonly fc.Arbitrary<string>[], close: string): fc.Arbitrary<string> =>
  fc.tuple(space, ...items.flatMap((item) => [space, item, space])).map(([first, ...parts]) => {
    const printed = items.map((_, i) => parts.slice(3 * i, 3 * i + 3).join(''));
    return `${open}${first}${printed.join(',')}${close}`;
  });

const member = (key: string, value: unknown) =>
  fc.tuple(printedString(key), space, space, printed(value)).map(([k, a, b, v]) => `${k}${a}:${b}${v}`);

/** The value as JSON, with white space and escapes wherever they may be. */
function printed(value: unknown): fc.Arbitrary<string> {
  if (typeof value === 'string') return printedString(value);
  if (Array.isArray(value)) return list('[', value.map(printed), ']');
  if (value === null || typeof value !== 'object') return fc.constant(JSON.stringify(value));
  return list(
    '{',
    Object.entries(value).map(([key, inner]) => member(key, inner)),
    '}',
  );
}

// No backslash in a key: JSON.parse of V8 13.6 takes the key "\u007d" for one that is a backslash, when it saw that before.
const anyKey = fc
  .oneof(fc.string(), fc.constantFrom('prevResult', 'a"b', '}', '", "prevResult": "', '__proto__'))
  .filter((key) => !key.includes('\\'));
const anyMembers = fc.array(fc.tuple(anyKey, fc.jsonValue({ maxDepth: 3 })), { maxLength: 6 });

const anyDocument = anyMembers.chain((members) =>
  fc
    .tuple(
      space,
      list(
        '{',
        members.map(([key, value]) => member(key, value)),
        '}',
      ),
      space,
    )
    .map((parts) => parts.join('')),
);

describe('a member of a document, as it stands there,', () => {
  test('is what JSON.parse finds, whatever the white space, the escapes and the repetitions', () => {
    fc.assert(
      fc.property(anyDocument, anyKey, (text, other) => {
        const document = JSON.parse(text) as Record<string, unknown>;
        for (const key of [...Object.keys(document), other]) {
          const raw = rawMember(text, key);
          assert.equal(raw !== undefined, Object.hasOwn(document, key), `whether there is a ${key}`);
          if (raw === undefined) continue;
          assert.ok(text.includes(raw), raw);
          assert.equal(raw, raw.trim());
          assert.deepEqual(JSON.parse(raw), document[key]);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('keeps its spaces, the order of its keys and the form of its numbers', () => {
    const value = '{ "b": 1.0e2,\n  "a" : [ 1 ,2.50 ] }';
    assert.equal(rawMember(`{"x": [{"prevResult": 1}], "prevResult" :\t${value} , "y": 1}`, 'prevResult'), value);
  });

  test('is found by its key however that is written, and the last one counts', () => {
    assert.equal(rawMember('{"prev\\u0052esult": 1, "prevResult": 2, "x": 3}', 'prevResult'), '2');
    assert.equal(rawMember('{"prevResult": 1, "prev\\u0052esult": "}"}', 'prevResult'), '"}"');
  });

  test('is not found in an empty document, inside a text or further down', () => {
    assert.equal(rawMember(' { } ', 'a'), undefined);
    assert.equal(rawMember('{"x": "\\"a\\": 1", "y": {"a": 1}}', 'a'), undefined);
  });
});
