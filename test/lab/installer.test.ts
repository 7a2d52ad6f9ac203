import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { list, listOf, primed, ready, requireEgressIn, singleOf, until, withoutOurs } from '../support/installation.ts';
import { labTest } from '../support/lab.ts';
import { egressBinary } from '../support/tools.ts';

describe('egress install', () => {
  test('puts itself last into the list, which keeps its other bytes, its mode and its owner', labTest, async () => {
    await using host = primed();
    host.write('20-other.conflist', listOf('other'));
    chmodSync(join(host.conf, list), 0o640);
    chownSync(join(host.conf, list), 1234, 5678);
    const before = host.tree();
    assert.equal((await host.install()).stderr, '');
    assert.equal(requireEgressIn(host, list), listOf('first'));
    const { mode, uid, gid } = statSync(join(host.conf, list));
    assert.deepEqual([mode & 0o7777, uid, gid], [0o640, 1234, 5678]);
    const changed = Object.entries(withoutOurs(host.tree())).filter(([path, stamp]) => before[path] !== stamp);
    assert.deepEqual(
      changed.map(([path]) => path),
      [`/net.d/${list}`],
    );
    assert.ok(readFileSync(join(host.bin, 'egress')).equals(readFileSync(egressBinary)));
    assert.equal(statSync(join(host.bin, 'egress')).mode & 0o7777, 0o755);
    assert.match(readFileSync(host.policy, 'utf8'), /"first"/);
  });

  test('done twice changes nothing the second time', labTest, async () => {
    await using host = primed();
    await host.install();
    const files = () =>
      [join(host.conf, list), join(host.bin, 'egress'), host.policy].map((path) => statSync(path).ino);
    const before = files();
    assert.equal((await host.install()).code, 0);
    assert.deepEqual(files(), before);
  });

  test('without any network ends with exit code 1 and makes none', labTest, async () => {
    await using host = primed({});
    const { code, stderr } = await host.install();
    assert.equal(code, 1);
    assert.match(stderr, /network: waiting for a network configuration/);
    assert.deepEqual(readdirSync(host.conf), []);
  });

  test(
    'is undone by egress uninstall: every file is as it was, but for the binary, which pods need',
    labTest,
    async () => {
      await using host = primed({
        [list]: listOf('first'),
        '05-single.conf': singleOf('x'),
        '20-z.json': singleOf('z'),
      });
      const before = host.tree();
      await host.install();
      await host.install({ more: ['--conf-name', list] });
      assert.deepEqual(readdirSync(host.conf).sort(), [
        '05-single.conf.before-egress',
        '05-single.conflist',
        list,
        '20-z.json',
      ]);
      assert.equal((await host.uninstall()).code, 0);
      assert.deepEqual(withoutOurs(host.tree()), before);
      assert.equal(existsSync(join(host.bin, 'egress')), true);
      assert.equal(existsSync(host.policy), false);
      mkdirSync(join(host.folder, 'data/attachments'), { recursive: true });
      writeFileSync(join(host.folder, 'data/attachments/n+c+eth0.json'), '{}');
      assert.match((await host.uninstall({ more: ['--binary'] })).stdout, /is left: 1 attachment /);
      rmSync(join(host.folder, 'data'), { recursive: true });
      assert.equal((await host.uninstall({ more: ['--binary'] })).code, 0);
      assert.deepEqual(host.tree(), before);
    },
  );
});

describe('egress install --watch', () => {
  test('waits for a primary that comes later', labTest, async () => {
    await using host = primed({});
    await host.watch('waiting for a network configuration');
    assert.equal((await host.ready()).code, 1);
    host.write(list, listOf('late'));
    await until(() => existsSync(host.readyFile));
    assert.equal(requireEgressIn(host, list), listOf('late'));
    assert.equal((await host.ready()).code, 0);
  });

  test('waits for a folder of networks that is not there yet', labTest, async () => {
    await using host = primed({});
    rmSync(host.conf, { recursive: true });
    await host.watch('waiting for a network configuration');
    mkdirSync(host.conf);
    host.write(list, listOf('late'));
    await until(() => host.types(list)?.includes('egress') === true);
  });

  test(
    'comes back when the primary writes its file in place, by rename, under another name, or as a .conf',
    labTest,
    async () => {
      await using host = primed();
      await host.watch(ready);
      host.write(list, listOf('in place'));
      await until(() => host.types(list)?.includes('egress') === true);
      assert.equal(requireEgressIn(host, list), listOf('in place'));
      host.write('.new', listOf('renamed'));
      renameSync(join(host.conf, '.new'), join(host.conf, list));
      await until(() => host.types(list)?.includes('egress') === true);
      assert.equal(requireEgressIn(host, list), listOf('renamed'));
      renameSync(join(host.conf, list), join(host.conf, '30-primary.conflist'));
      host.write('05-single.conf', singleOf('x'));
      await until(
        () =>
          host.types('05-single.conflist')?.includes('egress') === true &&
          !existsSync(join(host.conf, '05-single.conf')),
      );
      assert.equal(readFileSync(join(host.conf, '05-single.conf.before-egress'), 'utf8'), singleOf('x'));
      assert.equal(requireEgressIn(host, '30-primary.conflist'), listOf('renamed'));
    },
  );

  test('tells of a primary that takes it out each time, and is back when that ends', labTest, async () => {
    await using host = primed();
    const daemon = await host.watch(ready);
    const fight = setInterval(() => host.types(list)?.includes('egress') && host.write(list, listOf('mine')), 1);
    try {
      assert.match(await daemon.line('keeps taking egress out'), /10-primary\.conflist.*cni\.exclusive/);
      await until(() => !existsSync(host.readyFile));
    } finally {
      clearInterval(fight);
    }
    await until(() => existsSync(host.readyFile));
    assert.equal(requireEgressIn(host, list), listOf('mine'));
  });

  test('hears a primary that has its file open when egress takes its place, and writes it later', labTest, async () => {
    await using host = primed();
    const primary = openSync(join(host.conf, list), 'r+');
    try {
      await host.watch(ready);
      for (const mark of ['second', 'third']) {
        ftruncateSync(primary);
        writeSync(primary, listOf(mark), 0);
        await until(() => host.read(list).includes(mark));
        assert.equal(requireEgressIn(host, list), listOf(mark));
      }
    } finally {
      closeSync(primary);
    }
    assert.deepEqual(readdirSync(host.conf), [list]);
  });

  test('puts the binary back when somebody removes it', labTest, async () => {
    await using host = primed();
    await host.watch(ready);
    rmSync(join(host.bin, 'egress'));
    await until(() => existsSync(join(host.bin, 'egress')));
  });

  test(
    'leaves everything as it is when it is told to end, but for the file that says that all is ready',
    labTest,
    async () => {
      await using host = primed();
      const daemon = await host.watch(ready);
      await until(() => existsSync(host.readyFile));
      const before = host.tree();
      await daemon.stop();
      assert.deepEqual(host.tree(), before);
      assert.deepEqual(readdirSync(join(host.readyFile, '..')), []);
    },
  );

  test('follows the policy of a ConfigMap, refuses a broken one and keeps the last good one', labTest, async () => {
    await using host = primed();
    rmSync(join(host.source, 'policy.json'));
    const mount = (version: string, text: string) => {
      mkdirSync(join(host.source, version));
      writeFileSync(join(host.source, version, 'policy.yaml'), text);
      symlinkSync(version, join(host.source, '..data_tmp'));
      renameSync(join(host.source, '..data_tmp'), join(host.source, '..data'));
    };
    const policy = (name: string) => `policies:\n- {name: ${name}, namespaces: ['*'], exit: drop}\n`;
    mount('..1', policy('one'));
    symlinkSync('..data/policy.yaml', join(host.source, 'policy.yaml'));
    const daemon = await host.watch(ready);
    assert.match(readFileSync(host.policy, 'utf8'), /"one"/);
    mount('..2', policy('two').replace('exit', 'exti'));
    assert.match(
      await daemon.line('refused'),
      /policy\.yaml#\/policies\/0\/exti \(line \d+\): unknown key.*the last good one stays/,
    );
    await until(() => !existsSync(host.readyFile));
    assert.match((await host.ready()).stdout, /"policy": "refused: /);
    assert.match(readFileSync(host.policy, 'utf8'), /"one"/);
    mount('..3', policy('three'));
    await until(() => readFileSync(host.policy, 'utf8').includes('"three"'));
    await until(() => existsSync(host.readyFile));
  });

  test(
    'and a primary that writes a hundred times: nobody ever reads what does not parse because of us',
    labTest,
    async () => {
      await using host = primed();
      await host.watch(ready);
      const seen = { broken: 0, twice: 0, withEgress: 0 };
      let current = listOf('first');
      const look = () => {
        const text = host.read(list);
        const types = host.types(list);
        if (types === undefined && !current.startsWith(text)) seen.broken++;
        const count = types?.filter((type) => type === 'egress').length ?? 0;
        if (count > 1) seen.twice++;
        if (count === 1) seen.withEgress++;
      };
      const readFor = async (ms: number) => {
        for (const end = performance.now() + ms; performance.now() < end; await new Promise(setImmediate)) look();
      };
      for (let i = 0; i < 100; i++) {
        current = listOf(`version ${i}`);
        if (i % 2 === 0) {
          host.write('.new', current);
          renameSync(join(host.conf, '.new'), join(host.conf, list));
        } else {
          host.write(list, current.slice(0, 40 + i / 2));
          await readFor(Math.random() * 10);
          host.write(list, current);
        }
        await readFor(Math.random() * 60);
      }
      await until(() => host.types(list)?.includes('egress') === true);
      assert.equal(requireEgressIn(host, list), current);
      assert.deepEqual([seen.broken, seen.twice], [0, 0]);
      assert.notEqual(seen.withEgress, 0);
      // It may be about to look once more at what it has just written.
      await until(() => readdirSync(host.conf).join() === list);
    },
  );
});
