import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { EgressError, type ErrorCode, errorTable } from '../../../src/base/errors.ts';
import { failure, failureOfDel, nothing, success, versionReply } from '../../../src/cni/reply.ts';

const anyCode = fc.constantFrom(...(Object.keys(errorTable) as ErrorCode[]));

describe('a failure', () => {
  test('is one document with the number, what it is, the details and what to do', () => {
    const { stdout, exitCode } = failure(new EgressError('no-address', 'prevResult has no IP address'), '0.4.0');
    assert.equal(exitCode, 1);
    assert.deepEqual(JSON.parse(stdout), {
      cniVersion: '0.4.0',
      code: 101,
      msg: 'No IP address in prevResult',
      details: 'prevResult has no IP address. Give the plugin before egress an IPAM section.',
    });
  });

  test('has no full stop behind a question', () => {
    const { stdout } = failure(
      new EgressError('annotation-unknown', 'no exit is called "a", did you mean "b"?'),
      '1.0.0',
    );
    assert.match((JSON.parse(stdout) as { details: string }).details, /"b"\? Name a policy/);
  });

  test('speaks the newest version to those who gave none', () => {
    const { stdout } = failure(new EgressError('internal', 'x'), undefined);
    assert.equal((JSON.parse(stdout) as { cniVersion: string }).cniVersion, '1.1.0');
  });
});

/** What containerd looks for in the text of a failed DEL, and what libcni's callers look for. */
const swallowed = /not found|no such file or directory/i;

describe('a failure of DEL', () => {
  test('never says what containerd takes for a success', () => {
    const phrases = fc.constantFrom(
      'not found',
      'Not Found',
      'NOT FOUND',
      'no such file or directory',
      'No Such file or directory',
    );
    const words = fc.array(fc.oneof(phrases, fc.string(), fc.constantFrom(' ', 'no', 'not ', 'found')), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(anyCode, words, (code, parts) => {
        const { stdout } = failureOfDel(new EgressError(code, parts.join('')), '1.0.0');
        assert.doesNotMatch(stdout, swallowed);
        assert.equal((JSON.parse(stdout) as { code: number }).code, errorTable[code].number);
      }),
      { numRuns: 1000 },
    );
  });

  test('says all else as it is', () => {
    const error = new EgressError('io-failure', 'ENOENT: no such file or directory, open ’/x’');
    assert.equal(
      failureOfDel(error, '1.0.0').stdout,
      failure(error, '1.0.0').stdout.replace('no such file or directory', 'missing'),
    );
    assert.equal(failureOfDel(error, '1.0.0').exitCode, 1);
  });
});

describe('other answers', () => {
  test('VERSION lists each version literally, in the version of the request', () => {
    const supportedVersions = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'];
    assert.deepEqual(JSON.parse(versionReply('0.3.1').stdout), { cniVersion: '0.3.1', supportedVersions });
    assert.deepEqual(JSON.parse(versionReply(undefined).stdout), { cniVersion: '1.1.0', supportedVersions });
  });

  test('a success is the text as it came, or nothing', () => {
    assert.deepEqual(success('{ "a":1.0}'), { stdout: '{ "a":1.0}', exitCode: 0 });
    assert.deepEqual(nothing, { stdout: '', exitCode: 0 });
  });
});
