import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { asEgressError, EgressError, errorTable } from '../../../src/base/errors.ts';
import { KernelError } from '../../../src/kernel/netlink/socket.ts';

const rows = Object.entries(errorTable);

describe('the table of errors', () => {
  test('has each number once', () => {
    const numbers = rows.map(([, { number }]) => number);
    assert.deepEqual(numbers, [...new Set(numbers)]);
  });

  test('takes of the numbers below 100 only those that the CNI specification defines', () => {
    const specified = [1, 2, 3, 4, 5, 6, 7, 11, 50, 51];
    assert.deepEqual(
      rows.filter(([, { number }]) => number < 100 && !specified.includes(number)),
      [],
    );
  });

  for (const [code, { title, remedy }] of rows) {
    test(`says what ${code} is and what to do, without full stops`, () => {
      for (const text of [title, remedy]) assert.match(text, /^[A-Z].*[^.]$/);
    });
  }
});

describe('asEgressError', () => {
  test('leaves an error of ours as it is', () => {
    const error = new EgressError('no-address', 'Nothing here');
    assert.equal(asEgressError(error), error);
  });

  test('makes a failed system call an I/O failure that keeps its cause', () => {
    const cause = thrownBy(() => readFileSync('/nonexistent/file'));
    const error = asEgressError(cause);
    assert.equal(error.code, 'io-failure');
    assert.match(error.message, /ENOENT.*\/nonexistent\/file/);
    assert.equal(error.cause, cause);
  });

  test('takes an error at its word that says what it is: a refusal of the kernel wherever it came from', () => {
    for (const [errno, code] of [
      [1, 'kernel-refused'],
      [4, 'try-again'],
    ] as const) {
      const cause = new KernelError(errno, 0, 'said so');
      const error = asEgressError(cause);
      assert.deepEqual([error.code, error.message, error.cause], [code, cause.message, cause]);
    }
  });

  test('calls anything else internal', () => {
    assert.deepEqual([asEgressError(new TypeError('x')).code, asEgressError('y').message], ['internal', 'y']);
  });
});

function thrownBy(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  return assert.fail('nothing was thrown');
}
