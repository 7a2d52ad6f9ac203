import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { hasEntry, withEntry, withoutEntry } from '../../../src/installer/conflist.ts';
import { entryText } from '../../../src/installer/entry.ts';
import { anyList, bytesOf } from './texts.ts';

const entry = entryText({ policyFile: '/etc/cni/egress/policy.json' });
const other = entryText({ node: '192.0.2.7' });

interface List {
  readonly plugins: readonly { readonly type: string }[];
}
const parse = (text: string) => JSON.parse(text) as List;
const ownTypes = (text: string) => parse(text).plugins.map(({ type }) => type);

describe('our entry in a list', () => {
  test('is the last plugin, once, and everything else is as it was', () => {
    fc.assert(
      fc.property(anyList, (text) => {
        const { plugins, ...rest } = parse(withEntry(text, entry));
        const { plugins: before, ...restBefore } = parse(text);
        assert.deepEqual(plugins, [...before, JSON.parse(entry)]);
        assert.deepEqual(rest, restBefore);
      }),
    );
  });

  test('taken out again leaves every byte as it was', () => {
    fc.assert(fc.property(anyList, (text) => assert.equal(withoutEntry(withEntry(text, entry)), text)));
  });

  test('is not written again when it is there', () => {
    fc.assert(
      fc.property(anyList, (text) => {
        const once = withEntry(text, entry);
        assert.equal(withEntry(once, entry), once);
      }),
    );
  });

  test('with other keys replaces the one that is there', () => {
    fc.assert(
      fc.property(anyList, (text) => assert.equal(withEntry(withEntry(text, other), entry), withEntry(text, entry))),
    );
  });

  test('is looked for among the plugins of the list only, not inside of them', () => {
    fc.assert(
      fc.property(anyList, (text) => {
        assert.equal(hasEntry(text), false);
        assert.equal(withoutEntry(text), text);
        assert.equal(hasEntry(withEntry(text, entry)), true);
      }),
    );
  });

  test('that somebody put first, twice, or wrote with escapes, is moved to the end', () => {
    for (const plugins of [
      '[{"type":"egress"},{"type":"ptp"}]',
      '[{"type":"egress"} , {"type":"ptp"}, {"type":"egress","node":"192.0.2.1"}]',
      '[{"type":"\\u0065gress"},\n{"type":"ptp"}]',
      '[{"type":"ptp"},{"type":"egress"},{"type":"egress"}]',
    ]) {
      const text = `{"plugins":${plugins}}`;
      assert.deepEqual(ownTypes(withEntry(text, entry)), ['ptp', 'egress'], text);
      assert.deepEqual(ownTypes(withoutEntry(text)), ['ptp'], text);
    }
  });

  test('has a line of its own where the other plugins have one', () => {
    const text = '{\n  "plugins": [\n    {"type": "ptp"}\n  ]\n}\n';
    assert.equal(
      withEntry(text, '{"type":"egress"}'),
      '{\n  "plugins": [\n    {"type": "ptp"},\n    {"type":"egress"}\n  ]\n}\n',
    );
  });

  test('goes into the last of several lists, which is the one that counts', () => {
    const text = '{"plugins":[{"type":"a"}],"plugins":[{"type":"b"}]}';
    assert.equal(
      withEntry(text, '{"type":"egress"}'),
      '{"plugins":[{"type":"a"}],"plugins":[{"type":"b"},{"type":"egress"}]}',
    );
  });

  test('keeps bytes that are no UTF-8', () => {
    const text = '{"name":"\xff\xfe","plugins":[{"type":"ptp"}]}';
    assert.equal(withoutEntry(withEntry(text, entry)), text);
    assert.ok(withEntry(text, entry).startsWith('{"name":"\xff\xfe"'));
  });
});

test('an entry is ASCII whatever the names of its files, and leaves out what was not told', () => {
  const text = entryText({ policyFile: '/etc/日本/é.json' });
  assert.match(text, /^[\x20-\x7e]+$/);
  assert.equal(bytesOf(text), text);
  assert.deepEqual(JSON.parse(text), {
    type: 'egress',
    capabilities: { 'io.kubernetes.cri.pod-annotations': true },
    policyFile: '/etc/日本/é.json',
  });
});
