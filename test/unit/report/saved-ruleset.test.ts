import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { savedWarning, savedWithUs } from '../../../src/report/saved-ruleset.ts';

const ours = 'table inet cni-egress {\n}\n';

/** What is found in files that are there, by their paths. */
const found = (files: Readonly<Record<string, string>>): string[] => {
  const filesIn = (folder: string) =>
    Object.keys(files)
      .filter((path) => path.slice(0, path.lastIndexOf('/')) === folder)
      .map((path) => path.slice(folder.length + 1));
  return savedWithUs((path) => files[path], filesIn);
};

describe('a ruleset that was saved while pods were steered', () => {
  test('is found where distributions load it from at boot', () => {
    for (const path of [
      '/etc/nftables.conf',
      '/etc/sysconfig/nftables.conf',
      '/etc/nftables/main.nft',
      '/etc/iptables/rules.v4',
    ])
      assert.deepEqual(found({ [path]: `flush ruleset\n${ours}`, '/etc/hosts': ours }), [path]);
  });

  test('is found in what such a file includes, also by a pattern, by a relative path, and in a ring', () => {
    const files = {
      '/etc/nftables.conf': '#!/usr/sbin/nft -f\ninclude "/srv/fw/*.nft"\ninclude "more.conf"\n',
      '/srv/fw/a.nft': 'table inet fw {\n}\n',
      '/srv/fw/b.nft': ours,
      '/srv/fw/b.nft.bak': ours,
      '/etc/more.conf': `include "/etc/nftables.conf"\n${ours}`,
    };
    assert.deepEqual(found(files), ['/srv/fw/b.nft', '/etc/more.conf']);
  });

  test('is not found where none is, or in files that cannot be read', () => {
    assert.deepEqual(found({ '/etc/nftables.conf': 'flush ruleset\n' }), []);
    const refuse = () => {
      throw new Error('EACCES');
    };
    assert.deepEqual(
      savedWithUs(refuse, () => []),
      [],
    );
  });

  test('is a warning that names the file', () => {
    assert.match(savedWarning('/etc/nftables.conf'), /^\/etc\/nftables\.conf holds table cni-egress, saved while/);
  });
});
