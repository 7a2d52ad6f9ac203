import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { ConfigurationFolder, Overtaken, textOf } from '../../../src/installer/folder.ts';
import { hostPath } from '../../../src/installer/host-path.ts';
import { Policy, type PolicyVerdict, releasePolicy } from '../../../src/installer/policy.ts';
import { notReadyFile, type Status, writeStatus } from '../../../src/installer/status.ts';
import { exchangeFiles } from '../../../src/kernel/netlink/libc.ts';

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'egress-installer-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

const write = { do: 'write', name: 'a.conflist', text: 'ours', like: 'a.conflist' } as const;

describe('a path of the host', () => {
  test('is below its root, however links lead there', (t) => {
    const root = folderOf(t);
    mkdirSync(join(root, 'var/opt/cni'), { recursive: true });
    symlinkSync('/var/opt', join(root, 'opt'));
    symlinkSync('../../../../../opt/cni', join(root, 'var/relative'));
    assert.equal(hostPath(root, '/opt/cni/bin'), join(root, 'var/opt/cni/bin'));
    assert.equal(hostPath(root, '/var/relative/bin'), join(root, 'var/opt/cni/bin'));
    assert.equal(hostPath(root, '/../../none/at/all'), join(root, 'none/at/all'));
    assert.equal(hostPath('/', '/none/at/all'), '/none/at/all');
  });

  test('that leads round and round is refused', (t) => {
    const root = folderOf(t);
    symlinkSync('/b', join(root, 'a'));
    symlinkSync('/a', join(root, 'b'));
    assert.throws(() => hostPath(root, '/a/x'), /\/a\/x has too many symbolic links/);
  });
});

describe('a file of the folder', () => {
  test('is replaced with its mode, and nothing else is left', (t) => {
    const path = folderOf(t);
    writeFileSync(join(path, 'a.conflist'), 'theirs');
    chmodSync(join(path, 'a.conflist'), 0o640);
    writeFileSync(join(path, '~egress.new'), 'of an installer that was killed');
    using folder = new ConfigurationFolder(path, exchangeFiles);
    folder.change(write);
    assert.deepEqual(readdirSync(path), ['a.conflist']);
    assert.equal(readFileSync(join(path, 'a.conflist'), 'utf8'), 'ours');
    assert.equal(statSync(join(path, 'a.conflist')).mode & 0o777, 0o640);
  });

  test('is replaced where the file system cannot exchange files', (t) => {
    const path = folderOf(t);
    writeFileSync(join(path, 'a.conflist'), 'theirs');
    using folder = new ConfigurationFolder(path, () => {
      throw Object.assign(new Error('renameat2: EINVAL'), { code: 'EINVAL' });
    });
    folder.change(write);
    assert.equal(readFileSync(join(path, 'a.conflist'), 'utf8'), 'ours');
  });

  test('that somebody wrote since the look stays as he wrote it', (t) => {
    const path = folderOf(t);
    const file = join(path, 'a.conflist');
    writeFileSync(file, 'theirs');
    using folder = new ConfigurationFolder(path, exchangeFiles);
    writeFileSync(file, 'newer!');
    assert.throws(() => folder.change(write), Overtaken);
    assert.throws(() => folder.change({ do: 'remove', name: 'a.conflist' }), Overtaken);
    assert.throws(() => folder.change({ do: 'rename', name: 'a.conflist', to: 'b' }), Overtaken);
    assert.deepEqual([readdirSync(path), readFileSync(file, 'utf8')], [['a.conflist'], 'newer!']);
  });

  test('that somebody replaced in the very last moment stays as he wrote it', (t) => {
    const path = folderOf(t);
    const file = join(path, 'a.conflist');
    writeFileSync(file, 'theirs');
    let exchanges = 0;
    using folder = new ConfigurationFolder(path, (a, b) => {
      if (exchanges++ === 0) {
        writeFileSync(join(path, 'newer'), 'newer!');
        renameSync(join(path, 'newer'), file);
      }
      exchangeFiles(a, b);
    });
    assert.throws(() => folder.change(write), Overtaken);
    assert.deepEqual([readdirSync(path), readFileSync(file, 'utf8'), exchanges], [['a.conflist'], 'newer!', 2]);
  });

  test('that cannot be read is an error, and no file stays open', (t) => {
    const path = folderOf(t);
    for (const name of ['a.conflist', 'b.conflist', 'c.conflist']) writeFileSync(join(path, name), 'theirs');
    truncateSync(join(path, 'b.conflist'), 3 * 1024 ** 3); // more than Node reads into one text
    const openFiles = () => readdirSync('/proc/self/fd').length;
    const before = openFiles();
    assert.throws(() => new ConfigurationFolder(path, exchangeFiles), /ERR_FS_FILE_TOO_LARGE|too large|greater than/i);
    assert.equal(openFiles(), before);
  });

  test('that was removed since the look is not made again', (t) => {
    const path = folderOf(t);
    writeFileSync(join(path, 'a.conflist'), 'theirs');
    using folder = new ConfigurationFolder(path, exchangeFiles);
    rmSync(join(path, 'a.conflist'));
    assert.throws(() => folder.change(write), Overtaken);
    assert.deepEqual(readdirSync(path), []);
  });

  test('that was replaced can still be read, for what its writer adds', (t) => {
    const path = folderOf(t);
    writeFileSync(join(path, 'a.conflist'), '');
    const writer = openSync(join(path, 'a.conflist'), 'w');
    using folder = new ConfigurationFolder(path, exchangeFiles);
    folder.change(write);
    writeFileSync(writer, 'late');
    assert.deepEqual(
      folder.displaced.map(({ fd }) => textOf(fd)),
      ['late'],
    );
  });

  test('is not looked at unless a runtime would, and a folder that is not there is empty', (t) => {
    const path = folderOf(t);
    for (const name of ['a.conf', 'b.txt', 'c.conflist.bak', 'd.json']) writeFileSync(join(path, name), '');
    mkdirSync(join(path, 'e.conf'));
    symlinkSync('nowhere', join(path, 'f.conf'));
    symlinkSync('a.conf', join(path, 'g.conf'));
    using folder = new ConfigurationFolder(path, exchangeFiles);
    assert.deepEqual(folder.files.map(({ name, kind }) => [name, kind]).sort(), [
      ['a.conf', 'file'],
      ['d.json', 'file'],
      ['g.conf', 'link'],
    ]);
    using none = new ConfigurationFolder(join(path, 'none'), exchangeFiles);
    assert.deepEqual(none.files, []);
  });
});

describe('the policy file', () => {
  const judge = async (_file: string, text: string): Promise<PolicyVerdict> =>
    text.startsWith('bad') ? { problems: ['#/exits: no'] } : { json: `json of ${text}` };

  function policyIn(folder: string) {
    const [source, target, note] = [join(folder, 'source'), join(folder, 'host/policy.json'), join(folder, 'note')];
    mkdirSync(source);
    return { source, target, note, policy: new Policy({ source, target: () => target, note: () => note, judge }) };
  }

  test('is the last valid one: a bad one is refused with its reasons', async (t) => {
    const { source, target, policy } = policyIn(folderOf(t));
    assert.match((await policy.look()).text, /^waiting for a policy/);
    writeFileSync(join(source, 'policy.yaml'), 'bad');
    assert.match((await policy.look()).text, /^refused: #\/exits: no$/);
    writeFileSync(join(source, 'policy.yaml'), 'good');
    assert.equal((await policy.look()).ok, true);
    writeFileSync(join(source, 'policy.yaml'), 'bad');
    const { ok, text } = await policy.look();
    assert.equal(ok, false);
    assert.match(text, /^refused: #\/exits: no; the last good one stays in force in .*host\/policy\.json$/);
    assert.equal(readFileSync(target, 'utf8'), 'json of good');
    assert.equal(statSync(target).mode & 0o777, 0o600);
  });

  test('is not written again while it is the same', async (t) => {
    const { source, target, policy } = policyIn(folderOf(t));
    writeFileSync(join(source, 'policy.json'), 'good');
    assert.notEqual((await policy.look()).done, undefined);
    const { ino } = statSync(target);
    assert.equal((await policy.look()).done, undefined);
    assert.equal(statSync(target).ino, ino);
  });

  test('is none of two: nobody knows which one is meant', async (t) => {
    const { source, target, policy } = policyIn(folderOf(t));
    for (const name of ['policy.json', 'policy.yaml']) writeFileSync(join(source, name), 'good');
    assert.match((await policy.look()).text, /policy\.json and .*policy\.yaml are both there/);
    assert.throws(() => statSync(target));
  });

  test('goes when egress goes, unless somebody else wrote it', async (t) => {
    const folder = folderOf(t);
    const { source, target, note, policy } = policyIn(folder);
    writeFileSync(join(source, 'policy.json'), 'good');
    await policy.look();
    assert.deepEqual(releasePolicy(target, note), [`removed ${target}`]);
    assert.deepEqual(readdirSync(folder), ['source']);
    await policy.look();
    writeFileSync(target, 'by hand');
    assert.match(releasePolicy(target, note).join(), /is left/);
    assert.equal(readFileSync(target, 'utf8'), 'by hand');
  });
});

test('the ready file is there exactly while all is ready; else another one says why not', (t) => {
  const file = join(folderOf(t), 'run/ready.json');
  const status = (ready: boolean): Status => ({ ready, version: '1', binary: 'b', policy: 'p', network: 'n' });
  writeStatus(file, status(false));
  assert.deepEqual(readdirSync(join(file, '..')), ['not-ready.json']);
  assert.deepEqual(JSON.parse(readFileSync(notReadyFile(file), 'utf8')), status(false));
  writeStatus(file, status(true));
  assert.deepEqual(readdirSync(join(file, '..')), ['ready.json']);
  writeStatus(file, status(false));
  assert.deepEqual(readdirSync(join(file, '..')), ['not-ready.json']);
});
