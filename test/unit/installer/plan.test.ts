import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { entryText } from '../../../src/installer/entry.ts';
import { judge, type NetworkFile } from '../../../src/installer/judge.ts';
import { type Plan, planInstall, planUninstall, type Step } from '../../../src/installer/plan.ts';
import { anyList, anySingle } from './texts.ts';

const entry = entryText({});

/** A folder: names and texts. */
type Folder = Readonly<Record<string, string>>;

const list = '{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"ptp"}]}';
const single = '{"cniVersion":"1.0.0","name":"n","type":"ptp"}';

const filesOf = (folder: Folder): NetworkFile[] =>
  Object.entries(folder).map(([name, text]) => ({ name, kind: 'file', text }));

function after(folder: Folder, step: Step): Folder {
  const { [step.name]: text = '', ...rest } = folder;
  if (step.do === 'remove') return rest;
  return step.do === 'write' ? { ...folder, [step.name]: step.text } : { ...rest, [step.to]: text };
}

const done = (folder: Folder, { steps }: Plan): Folder => steps.reduce(after, folder);
const install = (folder: Folder, fileName?: string): Folder =>
  done(folder, planInstall(filesOf(folder), { entry, fileName }));
const uninstall = (folder: Folder): Folder => done(folder, planUninstall(filesOf(folder)));

/** What a runtime would use: the first file in the order of names that it can read. */
function used(folder: Folder): { readonly name: string; readonly types: readonly string[] } | undefined {
  const readable = filesOf(folder)
    .filter((file) => /\.(conf|conflist|json)$/.test(file.name) && judge(file).is !== 'broken')
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const [first] = readable;
  if (first === undefined) return undefined;
  const { plugins, type } = JSON.parse(first.text) as { plugins?: { type: string }[]; type?: string };
  return { name: first.name, types: plugins?.map((plugin) => plugin.type) ?? [type ?? ''] };
}

const anyFolder = fc
  .dictionary(
    fc.constantFrom('05-a', '10-b', '99-c'),
    fc.oneof(
      anyList.map((text) => ['.conflist', text] as const),
      anySingle.map((text) => ['.conf', text] as const),
      anySingle.map((text) => ['.json', text] as const),
      fc.constantFrom(['.conf', ''] as const, ['.conflist', '{"name":"n","plu'] as const, ['.txt', 'x'] as const),
    ),
  )
  .map((folder) => Object.fromEntries(Object.entries(folder).map(([name, [suffix, text]]) => [name + suffix, text])));

const sorted = (folder: Folder) => Object.entries(folder).sort(([a], [b]) => (a < b ? -1 : 1));

describe('installing', () => {
  test('puts egress last into what the runtime uses, and nothing else changes', () => {
    fc.assert(
      fc.property(anyFolder, (folder) => {
        const before = used(folder);
        const now = used(install(folder));
        assert.deepEqual(now?.types, before && [...before.types, 'egress']);
        const others = Object.entries(install(folder)).filter(([name]) => name !== now?.name);
        for (const [name, text] of others) assert.equal(text, folder[name.replace('.before-egress', '')], name);
      }),
    );
  });

  test('again changes nothing', () => {
    fc.assert(fc.property(anyFolder, (folder) => assert.deepEqual(install(install(folder)), install(folder))));
  });

  test('and uninstalling give back every file as it was', () => {
    fc.assert(fc.property(anyFolder, (folder) => assert.deepEqual(sorted(uninstall(install(folder))), sorted(folder))));
  });

  test('with another entry replaces the one that is there, and uninstalling gives back every file all the same', () => {
    const other = entryText({ draining: true });
    fc.assert(
      fc.property(anyFolder, (folder) => {
        const before = install(folder);
        const changed = done(before, planInstall(filesOf(before), { entry: other }));
        assert.deepEqual(changed, done(folder, planInstall(filesOf(folder), { entry: other })));
        assert.deepEqual(sorted(uninstall(changed)), sorted(folder));
      }),
    );
  });

  test('stopped after any step leaves a network to use, and ends right when it is begun again', () => {
    fc.assert(
      fc.property(anyFolder, fc.nat(3), (folder, count) => {
        const { steps } = planInstall(filesOf(folder), { entry });
        const half = steps.slice(0, count).reduce(after, folder);
        assert.equal(used(half) === undefined, used(folder) === undefined);
        assert.deepEqual(install(half), install(folder));
        assert.deepEqual(sorted(uninstall(half)), sorted(folder));
      }),
    );
  });

  test('and uninstalling stopped after any step end right when uninstalling is begun again', () => {
    fc.assert(
      fc.property(anyFolder, fc.nat(3), (folder, count) => {
        const installed = install(folder);
        const { steps } = planUninstall(filesOf(installed));
        const half = steps.slice(0, count).reduce(after, installed);
        assert.equal(used(half) === undefined, used(folder) === undefined);
        assert.deepEqual(sorted(uninstall(half)), sorted(folder));
      }),
    );
  });
});

describe('a single plugin', () => {
  test('stands in a list of the same name as it was, and its file is put aside', () => {
    const text = `\n${single}\r\n`;
    const folder = install({ '10-a.conf': text });
    assert.deepEqual(Object.keys(folder).sort(), ['10-a.conf.before-egress', '10-a.conflist']);
    assert.ok(folder['10-a.conflist']?.includes(`[${text},`));
    const { plugins, ...rest } = JSON.parse(folder['10-a.conflist'] ?? '') as { plugins: unknown[] };
    assert.deepEqual(rest, { cniVersion: '1.0.0', name: 'n' });
    assert.deepEqual(plugins, [JSON.parse(text), JSON.parse(entry)]);
  });

  test('that its owner writes again is wrapped again, and comes back as it is then', () => {
    const newer = single.replace('ptp', 'bridge');
    const folder = install({ ...install({ '10-a.conf': single }), '10-a.conf': newer });
    assert.deepEqual(used(folder), { name: '10-a.conflist', types: ['bridge', 'egress'] });
    assert.deepEqual(uninstall(folder), { '10-a.conf': newer });
  });

  test('that its owner was still writing when it was put aside is wrapped as it became', () => {
    const newer = single.replace('ptp', 'bridge');
    const folder = install({ ...install({ '10-a.conf': single }), '10-a.conf.before-egress': newer });
    assert.deepEqual(used(folder), { name: '10-a.conflist', types: ['bridge', 'egress'] });
  });

  test('is left, with a reason, when the list that it would become is somebody else’s', () => {
    const plan = planInstall(filesOf({ '10-a.conf': single, '10-a.conflist': list }), { entry });
    assert.deepEqual(plan.steps, []);
    assert.match(plan.problem ?? '', /^10-a\.conf has a single plugin, and 10-a\.conflist, .* is not ours$/);
  });

  test('does not come back when its list is used by others: they would lose their place', () => {
    const installed = install({ '10-a.conf': single });
    const chained = installed['10-a.conflist']?.replace(/\]\}\n$/, ',{"type":"istio-cni"}]}\n') ?? '';
    const folder = { ...installed, '10-a.conflist': chained };
    assert.deepEqual(used(uninstall(folder)), { name: '10-a.conflist', types: ['ptp', 'istio-cni'] });
    assert.match(planUninstall(filesOf(folder)).remarks.join(), /^10-a\.conf\.before-egress is left/);
  });
});

describe('the network that is chosen', () => {
  test('is the first in the order of bytes', () => {
    assert.equal(planInstall(filesOf({ 'b.conflist': list, 'B.conflist': list }), { entry }).network, 'B.conflist');
  });

  test('is the one that is named, also when a list was made of it', () => {
    const folder = { '05-a.conflist': list, '10-b.conf': single };
    const installed = install(folder, '10-b.conf');
    assert.equal(installed['05-a.conflist'], list);
    assert.equal(planInstall(filesOf(installed), { entry, fileName: '10-b.conf' }).network, '10-b.conflist');
  });

  test('is waited for, and what is there instead is told', () => {
    const { problem } = planInstall(filesOf({ '05-a.conf': '{', 'x.txt': list }), { entry });
    assert.equal(
      problem,
      'waiting for a network configuration; 05-a.conf cannot carry egress: it is not JSON, or not yet complete',
    );
  });

  test('passes over what runtimes cannot read, and says so', () => {
    const { network, remarks } = planInstall(filesOf({ '05-a.conflist': '{}', '10-b.conflist': list }), { entry });
    assert.deepEqual([network, remarks], ['10-b.conflist', ['05-a.conflist cannot carry egress: it has no name']]);
  });
});

describe('a file that a runtime uses but that cannot carry egress', () => {
  const rows: readonly (readonly [string, NetworkFile, RegExp])[] = [
    ['a link', { name: 'a.conflist', kind: 'link', text: list }, /symbolic link/],
    [
      'of an old version',
      { name: 'a.conflist', kind: 'file', text: list.replace('1.0.0', '0.2.0') },
      /cniVersion is "0\.2\.0"/,
    ],
    ['of no version', { name: 'a.conf', kind: 'file', text: '{"name":"n","type":"ptp"}' }, /cniVersion is absent/],
    [
      'with egress alone',
      { name: 'a.conflist', kind: 'file', text: list.replace('ptp', 'egress') },
      /no plugin but egress/,
    ],
    [
      'that is egress',
      { name: 'a.conf', kind: 'file', text: single.replace('ptp', 'egress') },
      /only plugin is egress/,
    ],
  ];
  for (const [what, file, reason] of rows) {
    test(`(${what}) is not passed over for one that the runtime does not use`, () => {
      const plan = planInstall([file, ...filesOf({ 'b.conflist': list })], { entry });
      assert.deepEqual(plan.steps, []);
      assert.match(plan.problem ?? '', reason);
      assert.deepEqual(planUninstall([file]).steps, []);
    });
  }
});

test('a list that names several versions needs one that egress speaks', () => {
  const text = '{"cniVersions":["0.1.0","1.1.0"],"name":"n","plugins":[{"type":"ptp"}]}';
  assert.equal(planInstall(filesOf({ 'a.conflist': text }), { entry }).network, 'a.conflist');
});
