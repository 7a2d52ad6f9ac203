import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diagnosis, machineOf, type Trial } from '../../../src/installer/diagnosis.ts';

const facts = { builtFor: 'x86_64', machine: 'x86_64', version: '1.2.3' };
const silent: Trial = { exitCode: 0, stdout: '', stderr: '' };
const failed = (syscall: string, code: string): Trial => ({ ...silent, exitCode: null, error: { syscall, code } });
const said = (stderr: string): Trial => ({ ...silent, exitCode: 127, stderr });
const answered = (answer: object): Trial => ({ ...silent, stdout: JSON.stringify(answer) });

test('a host that gets the right answer can run the binary', () => {
  assert.equal(diagnosis(answered({ version: '1.2.3', netlink: true }), facts), undefined);
});

describe('why a host cannot run the binary is told by', () => {
  const rows: readonly (readonly [string, Trial, RegExp])[] = [
    ['no right to enter its root', failed('chroot', 'EPERM'), /CAP_SYS_CHROOT/],
    ['a root that is another host’s', failed('access', 'ENOENT'), /HOST_ROOT/],
    ['no loader', failed('spawnSync', 'ENOENT'), /no loader.*glibc/],
    ['no right to run', failed('spawnSync', 'EACCES'), /noexec/],
    ['no answer in time', failed('spawnSync', 'ETIMEDOUT'), /in time/],
    ['any other error', failed('spawnSync', 'EMFILE'), /EMFILE/],
    [
      'a missing library',
      said('egress: error while loading shared libraries: libstdc++.so.6: cannot open shared object file'),
      /has no libstdc\+\+\.so\.6/,
    ],
    [
      'an old glibc',
      said("egress: /lib/libm.so.6: version `GLIBC_2.29' not found (required by egress)"),
      /GLIBC_2\.29/,
    ],
    ['an old libstdc++', said("egress: libstdc++.so.6: version `GLIBCXX_3.4.26' not found"), /GLIBCXX_3\.4\.26/],
    ['anything else that it says', said('\nno memory\nat all'), /127: no memory$/],
    ['a signal', { ...silent, exitCode: null }, /a signal: it said nothing/],
    ['another version', answered({ version: '1.2.2', netlink: true }), /version 1\.2\.2, expected 1\.2\.3/],
    ['no netlink', answered({ version: '1.2.3', netlink: false }), /netlink/],
    ['an answer that is none', { ...silent, stdout: 'null' }, /version undefined/],
  ];
  for (const [what, trial, expected] of rows) {
    test(what, () => assert.match(diagnosis(trial, facts) ?? '', expected));
  }

  test('another machine that it is built for, whatever the shell made of it', () => {
    assert.match(diagnosis(said('sh: syntax error'), { ...facts, builtFor: 'aarch64' }) ?? '', /for aarch64.*x86_64/);
  });

  test('what is no program at all', () => {
    assert.match(diagnosis(failed('spawnSync', 'ENOEXEC'), { ...facts, builtFor: undefined }) ?? '', /no program/);
  });
});

test('a program says which machine it is built for', () => {
  const header = (machine: number) => Buffer.from([...Buffer.from('\x7fELF'), ...Array(14).fill(0), machine, 0]);
  assert.deepEqual(
    [62, 183, 243].map((machine) => machineOf(header(machine))),
    ['x86_64', 'aarch64', 'machine 243 of ELF'],
  );
  assert.deepEqual([machineOf(Buffer.from('#!/bin/sh')), machineOf(Buffer.alloc(20))], [undefined, undefined]);
});
