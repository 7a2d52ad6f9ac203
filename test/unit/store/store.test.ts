import assert from 'node:assert/strict';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { markOf } from '../../../src/base/attachment.ts';
import { EgressError } from '../../../src/base/errors.ts';
import { lockFile } from '../../../src/kernel/lock.ts';
import { migrated, recordVersion } from '../../../src/store/migration.ts';
import { Store } from '../../../src/store/store.ts';
import { anyNodeRecord, anyRecord, sample, sampleNode } from './records.ts';

/** A store in a folder of its own, with its lock held, and what it warned of. */
async function newStore(t: TestContext) {
  const folder = fs.mkdtempSync(join(tmpdir(), 'egress-store-'));
  const [dataDir, warnings] = [join(folder, 'state'), [] as string[]];
  const store = new Store(dataDir, { lockFile, warn: (message) => warnings.push(message) });
  const lock = await store.lock();
  t.after(() => fs.rmSync(folder, { recursive: true }));
  return { store, dataDir, warnings, lock };
}

const sampleFile = 'attachments/pods+5f1c0d+eth0.json';

/** The files below a folder, sorted. */
const filesBelow = (folder: string) =>
  fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();

describe('the store', () => {
  test('gives back every attachment as it was saved, and forgets it', async (t) => {
    const { store, warnings } = await newStore(t);
    fc.assert(
      fc.property(anyRecord, (record) => {
        store.save(record);
        assert.deepEqual(store.load(record), record);
        assert.deepEqual(store.list(), [record]);
        store.forget(record);
        assert.equal(store.load(record), undefined);
      }),
      { numRuns: 50 },
    );
    assert.deepEqual(warnings, []);
  });

  test('gives back every node record as it was saved, and forgets it', async (t) => {
    const { store, warnings } = await newStore(t);
    fc.assert(
      fc.property(anyNodeRecord, (record) => {
        store.saveNode(record);
        assert.deepEqual(store.loadNode(), record);
        store.forgetNode();
        assert.equal(store.loadNode(), undefined);
      }),
      { numRuns: 50 },
    );
    assert.deepEqual(warnings, []);
  });

  test('gives back which exits were moved, none at first, and keeps no file without any', async (t) => {
    const { store, dataDir, warnings } = await newStore(t);
    assert.deepEqual(store.loadMoves(), {});
    const moves = { shared: '172.18.0.7', other: 'fd00:18::7' };
    store.saveMoves(moves);
    assert.deepEqual(store.loadMoves(), moves);
    assert.deepEqual(filesBelow(dataDir), ['lock', 'moves.json']);
    store.saveMoves({ other: 'fd00:18::7' });
    assert.deepEqual(store.loadMoves(), { other: 'fd00:18::7' });
    store.saveMoves({});
    store.saveMoves({});
    assert.deepEqual(store.loadMoves(), {});
    assert.deepEqual([filesBelow(dataDir), warnings], [['lock'], []]);
  });

  test('forgets the node, but not which exits were moved', async (t) => {
    const { store } = await newStore(t);
    store.saveNode(sampleNode);
    store.saveMoves({ shared: '172.18.0.7' });
    store.forgetNode();
    assert.deepEqual(store.loadMoves(), { shared: '172.18.0.7' });
  });

  test('lists all attachments, keeping apart those that differ in one name', async (t) => {
    const { store } = await newStore(t);
    const records = [
      sample({ network: 'n'.repeat(200) }),
      sample({ network: 'other' }),
      sample(),
      sample({ ifname: 'net1' }),
      sample({ containerId: 'c'.repeat(200) }),
    ];
    for (const record of records) store.save(record);
    assert.deepEqual(new Set(store.list().map(markOf)), new Set(records.map(markOf)));
    for (const record of records) assert.deepEqual(store.load(record), record);
  });

  test('replaces what was known of an attachment', async (t) => {
    const { store } = await newStore(t);
    store.save(sample());
    store.save(sample({ addresses: ['10.0.0.9'] }));
    assert.deepEqual(store.list(), [sample({ addresses: ['10.0.0.9'] })]);
  });

  test('is empty, and makes nothing, where nothing was saved', () => {
    const dataDir = join(tmpdir(), `egress-store-absent-${process.pid}`);
    const store = new Store(dataDir, { lockFile, warn: assert.fail });
    assert.deepEqual([store.list(), store.load(sample()), store.loadNode()], [[], undefined, undefined]);
    assert.ok(!fs.existsSync(dataDir));
  });

  test('knows whether it has a file of an attachment, even one that is no record', async (t) => {
    const { store, dataDir, warnings } = await newStore(t);
    assert.equal(store.has(sample()), false);
    store.save(sample());
    fs.writeFileSync(join(dataDir, sampleFile), 'hello');
    assert.deepEqual([store.has(sample()), store.has(sample({ ifname: 'net1' }))], [true, false]);
    assert.deepEqual(warnings, []);
  });

  test('forgets an attachment that it does not know', async (t) => {
    const { store } = await newStore(t);
    store.forget(sample());
    store.forgetNode();
    assert.deepEqual(store.list(), []);
  });

  test('leaves nothing but its lock when everything is forgotten', async (t) => {
    const { store, dataDir } = await newStore(t);
    store.save(sample());
    store.saveNode(sampleNode);
    store.forget(sample());
    store.forgetNode();
    assert.deepEqual(fs.readdirSync(dataDir), ['lock']);
  });

  test('keeps the attachments when it forgets the node', async (t) => {
    const { store } = await newStore(t);
    store.save(sample());
    store.forgetNode();
    assert.deepEqual(store.list(), [sample()]);
  });

  test('names files so that a person sees whose they are, whatever the length of the names', async (t) => {
    const { store, dataDir } = await newStore(t);
    store.save(sample());
    store.save(sample({ network: 'n'.repeat(300), containerId: 'c'.repeat(300) }));
    const files = fs.readdirSync(join(dataDir, 'attachments'));
    assert.ok(files.includes('pods+5f1c0d+eth0.json'), files.join());
    assert.ok(
      files.every((file) => /^[\w.+~-]{1,255}$/.test(file)),
      files.join(),
    );
  });

  test('is readable for nobody but its owner, whatever the umask', async (t) => {
    const umask = process.umask(0);
    t.after(() => process.umask(umask));
    const { store, dataDir } = await newStore(t);
    store.save(sample());
    store.saveNode(sampleNode);
    fs.writeFileSync(join(dataDir, 'attachments/nonsense.json'), '');
    store.list();
    for (const entry of ['.', 'attachments', 'broken']) assert.equal(mode(join(dataDir, entry)), 0o700, entry);
    for (const entry of ['lock', 'node.json', sampleFile]) assert.equal(mode(join(dataDir, entry)), 0o600, entry);
  });

  test('changes nothing without its lock', async (t) => {
    const { store, lock, dataDir } = await newStore(t);
    store.save(sample());
    lock[Symbol.dispose]();
    for (const change of [
      () => store.save(sample({ addresses: [] })),
      () => store.forget(sample()),
      () => store.saveProgram('program-5f1c', { matches: [] }),
      () => store.forgetPrograms(new Set()),
      () => store.saveNode(sampleNode),
      () => store.forgetNode(),
      () => store.saveMoves({ shared: '172.18.0.7' }),
      () => store.saveMoves({}),
    ]) {
      assert.throws(change, /needs its lock/);
    }
    assert.deepEqual(store.list(), [sample()]);
    assert.deepEqual(filesBelow(dataDir), [sampleFile, 'lock']);
  });

  test('puts a record on the disk before it takes its place, and its place on the disk before it returns', async (t) => {
    const { store, dataDir } = await newStore(t);
    const steps: string[] = [];
    const { fsyncSync, renameSync } = fs;
    store.save(sample({ ifname: 'net1' }));
    t.mock.method(fs, 'fsyncSync', (fd: number) => {
      steps.push(`sync ${relative(dataDir, fs.readlinkSync(`/proc/self/fd/${fd}`))}`);
      fsyncSync(fd);
    });
    t.mock.method(fs, 'renameSync', (from: string, to: string) => {
      steps.push(`rename to ${relative(dataDir, to)}`);
      renameSync(from, to);
    });
    syncBuiltinESMExports();
    store.save(sample());
    t.mock.restoreAll();
    syncBuiltinESMExports();
    assert.deepEqual(steps, ['sync attachments/.new', `rename to ${sampleFile}`, 'sync attachments']);
  });

  test('passes over a file that vanishes while it reads', async (t) => {
    const { store, dataDir } = await newStore(t);
    store.save(sample());
    store.save(sample({ ifname: 'net1' }));
    const original = fs.readdirSync;
    t.mock.method(fs, 'readdirSync', (...args: Parameters<typeof original>) => {
      const entries = original(...args);
      fs.rmSync(join(dataDir, sampleFile));
      return entries;
    });
    syncBuiltinESMExports();
    const records = store.list();
    t.mock.restoreAll();
    syncBuiltinESMExports();
    assert.deepEqual(records, [sample({ ifname: 'net1' })]);
  });

  // mkdir(2) in /proc says ENOENT though the parent is there, which Node's recursive mkdir takes for a parent yet to make.
  test('says why its folder cannot be made', async () => {
    const store = new Store('/proc/egress/state', { lockFile, warn: () => undefined });
    await assert.rejects(store.lock(), /ENOENT.*\/proc\/egress/);
  });
});

describe('the programs of a store', () => {
  const { outline } = sample();
  const file = 'programs/program-5f1c.json';

  test('are given back as they were saved, and forgotten but for those that are kept', async (t) => {
    const { store, dataDir } = await newStore(t);
    for (const program of ['program-5f1c', 'program-01']) store.saveProgram(program, { matches: outline });
    assert.deepEqual([store.loadProgram('program-5f1c')?.matches, store.hasProgram('program-5f1c')], [outline, true]);
    assert.deepEqual([store.loadProgram('program-02'), store.hasProgram('program-02')], [undefined, false]);
    store.forgetPrograms(new Set(['program-5f1c']));
    assert.deepEqual(filesBelow(dataDir), ['lock', file]);
    store.forgetPrograms(new Set());
    assert.deepEqual(fs.readdirSync(dataDir), ['lock']);
  });

  test('are written once: the name says what is in them', async (t) => {
    const { store, dataDir } = await newStore(t);
    store.saveProgram('program-5f1c', { matches: outline });
    const { ino } = fs.statSync(join(dataDir, file));
    store.saveProgram('program-5f1c', { matches: outline });
    assert.equal(fs.statSync(join(dataDir, file)).ino, ino);
  });

  test('are written anew in place of a file that is broken, which is put aside', async (t) => {
    const { store, dataDir, warnings } = await newStore(t);
    store.saveProgram('program-5f1c', { matches: outline });
    fs.truncateSync(join(dataDir, file), 20);
    store.saveProgram('program-5f1c', { matches: outline });
    assert.deepEqual(store.loadProgram('program-5f1c')?.matches, outline);
    assert.deepEqual(filesBelow(dataDir), ['broken/program-5f1c.json.1', 'lock', file]);
    assert.equal(warnings.length, 1);
  });

  test('leave nothing of a file whose writer was killed', async (t) => {
    const { store, dataDir } = await newStore(t);
    store.saveProgram('program-5f1c', { matches: outline });
    fs.writeFileSync(join(dataDir, 'programs/.new'), 'half');
    store.forgetPrograms(new Set(['program-5f1c']));
    assert.deepEqual(filesBelow(dataDir), ['lock', file]);
  });
});

const mode = (path: string) => fs.statSync(path).mode & 0o7777;

describe('a file that is no record', () => {
  const good = JSON.stringify(sample());
  const bad: readonly [situation: string, text: string, reason: RegExp][] = [
    ['is empty', '', /not JSON/],
    ['is truncated', good.slice(0, -20), /not JSON/],
    ['is not JSON', 'hello', /not JSON/],
    ['is not an object', 'null', /wrong value at \//],
    ['lacks a value', good.replace('"program"', '"programme"'), /wrong value at \/program/],
    ['lacks its version', good.replace(/"version":\d+,/, ''), /wrong value at \/version/],
    ['has an address that is none', good.replace('10.0.0.174', '10.0.0'), /wrong value at \/addresses\/0/],
    ['has a prefix without a length', good.replace('fd00::/64', 'fd00::'), /wrong value at \/subnets\/1/],
    ['is about another container', good.replace('5f1c0d', '5f1c0e'), /another attachment/],
    ['is about another network', good.replace('"pods"', '"other"'), /another attachment/],
  ];

  for (const [situation, text, reason] of bad) {
    test(`because it ${situation} is moved aside with a warning, and the call goes on`, async (t) => {
      const { store, dataDir, warnings } = await newStore(t);
      store.save(sample({ ifname: 'net1' }));
      for (const read of [() => store.load(sample()), () => store.list()[1]]) {
        fs.writeFileSync(join(dataDir, sampleFile), text);
        assert.equal(read(), undefined);
        const warning = warnings.pop() ?? '';
        assert.match(warning, reason);
        assert.ok(warning.includes(join(dataDir, sampleFile)), warning);
      }
      const aside = ['broken/pods+5f1c0d+eth0.json.1', 'broken/pods+5f1c0d+eth0.json.2'];
      assert.deepEqual(
        filesBelow(join(dataDir, 'broken')),
        aside.map((path) => path.slice('broken/'.length)),
      );
      for (const path of aside) assert.equal(fs.readFileSync(join(dataDir, path), 'utf8'), text);
      assert.deepEqual(store.list(), [sample({ ifname: 'net1' })]);
    });
  }

  test('is not lost when its attachment is saved anew or forgotten', async (t) => {
    const { store, dataDir } = await newStore(t);
    store.save(sample());
    for (const change of [() => store.save(sample()), () => store.forget(sample())]) {
      fs.writeFileSync(join(dataDir, sampleFile), 'hello');
      change();
    }
    assert.equal(filesBelow(join(dataDir, 'broken')).length, 2);
  });

  test('is moved aside also where the node’s record should be', async (t) => {
    const { store, dataDir, warnings } = await newStore(t);
    fs.writeFileSync(join(dataDir, 'node.json'), '{}');
    assert.equal(store.loadNode(), undefined);
    assert.equal(warnings.length, 1);
    assert.deepEqual(filesBelow(dataDir), ['broken/node.json.1', 'lock']);
  });

  test('is moved aside also where the moved exits should be, which then are none', async (t) => {
    const { store, dataDir, warnings } = await newStore(t);
    for (const text of ['{}', '{"version":1,"gateways":{"shared":"here"}}', '{"version":1,"gateways":[]}']) {
      fs.writeFileSync(join(dataDir, 'moves.json'), text);
      assert.deepEqual(store.loadMoves(), {});
      assert.match(warnings.pop() ?? '', /moves\.json is no record/);
    }
    assert.deepEqual(filesBelow(join(dataDir, 'broken')).length, 3);
  });

  test('is only warned of by a reader that does not hold the lock', async (t) => {
    const { dataDir } = await newStore(t);
    fs.mkdirSync(join(dataDir, 'attachments'));
    fs.writeFileSync(join(dataDir, sampleFile), 'hello');
    const warnings: string[] = [];
    const reader = new Store(dataDir, { lockFile: () => assert.fail(), warn: (message) => warnings.push(message) });
    assert.equal(reader.load(sample()), undefined);
    assert.equal(warnings.length, 1);
    assert.deepEqual(filesBelow(dataDir), [sampleFile, 'lock']);
  });
});

describe('records that version 0.1.0 wrote, beside pods that still run', () => {
  const text = (name: string) => fs.readFileSync(new URL(`0.1.0/${name}.json`, import.meta.url), 'utf8');
  const { program, ...attachment } = JSON.parse(text('attachment')) as ReturnType<typeof sample>;
  const files = {
    'attachments/pods+c1+eth0.json': text('attachment'),
    [`programs/${program}.json`]: text('program'),
    'node.json': text('node'),
    'moves.json': text('moves'),
  };

  test('are read as if we had written them, with nothing lost', async (t) => {
    const { store, dataDir, warnings } = await newStore(t);
    for (const folder of ['attachments', 'programs']) fs.mkdirSync(join(dataDir, folder));
    for (const [file, content] of Object.entries(files)) fs.writeFileSync(join(dataDir, file), content);
    const now = (name: string) => ({ ...JSON.parse(text(name)), version: recordVersion });
    assert.deepEqual(store.load(attachment), now('attachment'));
    assert.deepEqual(store.list(), [now('attachment')]);
    assert.deepEqual(store.loadProgram(program), now('program'));
    assert.deepEqual(store.loadNode(), now('node'));
    assert.deepEqual(store.loadMoves(), now('moves').gateways);
    assert.deepEqual([warnings, filesBelow(dataDir)], [[], [...Object.keys(files), 'lock'].sort()]);
  });

  test('are written in our version with the first change', async (t) => {
    const { store, dataDir } = await newStore(t);
    fs.writeFileSync(join(dataDir, 'node.json'), text('node'));
    const node = store.loadNode();
    assert.ok(node);
    store.saveNode(node);
    assert.equal(JSON.parse(fs.readFileSync(join(dataDir, 'node.json'), 'utf8')).version, recordVersion);
  });

  test('go through every step from their version to ours, and what is none is not touched', () => {
    for (let version = 1; version <= recordVersion; version++)
      assert.deepEqual(migrated({ version, network: 'pods' }), { version: recordVersion, network: 'pods' });
    for (const value of [null, 'text', {}, { version: 0 }, { version: 1.5 }, { version: recordVersion + 1 }])
      assert.deepEqual(migrated(value), value);
  });
});

describe('a record that a newer version wrote', () => {
  test('is left alone, and every call that needs it says so and names the file', async (t) => {
    const { store, dataDir, warnings } = await newStore(t);
    const newer = JSON.stringify({ version: recordVersion + 1, network: 'pods' });
    fs.mkdirSync(join(dataDir, 'attachments'));
    fs.mkdirSync(join(dataDir, 'programs'));
    const programFile = 'programs/program-5f1c.json';
    for (const file of [sampleFile, programFile, 'node.json', 'moves.json'])
      fs.writeFileSync(join(dataDir, file), newer);
    const calls: readonly [() => unknown, file: string][] = [
      [() => store.load(sample()), sampleFile],
      [() => store.list(), sampleFile],
      [() => store.save(sample()), sampleFile],
      [() => store.forget(sample()), sampleFile],
      [() => store.loadProgram('program-5f1c'), programFile],
      [() => store.saveProgram('program-5f1c', { matches: [] }), programFile],
      [() => store.loadNode(), 'node.json'],
      [() => store.saveNode(sampleNode), 'node.json'],
      [() => store.forgetNode(), 'node.json'],
      [() => store.loadMoves(), 'moves.json'],
      [() => store.saveMoves({ shared: '172.18.0.7' }), 'moves.json'],
      [() => store.saveMoves({}), 'moves.json'],
    ];
    for (const [call, file] of calls) {
      assert.throws(call, (error) => {
        assert.ok(error instanceof EgressError && error.code === 'record-newer');
        assert.ok(error.message.includes(join(dataDir, file)), error.message);
        return true;
      });
      assert.equal(fs.readFileSync(join(dataDir, file), 'utf8'), newer);
    }
    assert.deepEqual(warnings, []);
  });
});
