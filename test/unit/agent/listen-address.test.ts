import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readListenAddress } from '../../../src/agent/listen-address.ts';
import { withPort } from '../../../src/base/address.ts';

describe('where to listen', () => {
  for (const text of ['127.0.0.1:14597', '0.0.0.0:1', '[::1]:65535', '[2001:db8::1]:9090', '[::]:14597']) {
    test(`may be ${text}`, () => {
      const { host, port } = readListenAddress('--metrics', text);
      assert.equal(withPort(host, port), text);
    });
  }

  for (const text of [
    ...[
      '',
      ':14597',
      '14597',
      '127.0.0.1',
      '127.0.0.1:',
      '127.0.0.1:0',
      '127.0.0.1:65536',
      '127.0.0.1:1x',
      '::1:14597',
    ],
    ...[
      '[::1]',
      '[127.0.0.1]:1',
      'localhost:1',
      '[fe80::1%eth0]:1',
      ' 127.0.0.1:1',
      '127.0.0.1:1\n',
      'on',
      '256.0.0.1:1',
    ],
  ]) {
    test(`may not be ${JSON.stringify(text)}, and the error names the option and what is expected`, () => {
      assert.throws(
        () => readListenAddress('--metrics', text),
        /--metrics: expected ADDRESS:PORT, as .*\[::1\]:14597, got/,
      );
    });
  }
});
