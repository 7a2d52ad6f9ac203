import assert from 'node:assert/strict';
import { EgressError } from '../../../src/base/errors.ts';
import type { Configuration } from '../../../src/config/configuration.ts';
import { type ReadFile, readChainEntry, readConfiguration } from '../../../src/config/read.ts';

/** The configuration of a chain entry that has these options; without a policy file unless there is a reader. */
export const read = (entry: object, readFile: ReadFile = () => undefined): Configuration =>
  readConfiguration(readChainEntry({ type: 'egress', ...entry }), readFile);

/** The configuration of a policy file `/p.json` that holds this text, or this document. */
export const readFileOf = (content: unknown): Configuration =>
  read({ policyFile: '/p.json' }, () => (typeof content === 'string' ? content : JSON.stringify(content)));

/** The code of the error that an action ends with, and the lines of its message. */
export function refusalOf(action: () => unknown): [code: string, ...lines: string[]] {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof EgressError, String(error));
    return [error.code, ...error.message.split('\n')];
  }
  return assert.fail('nothing was refused');
}

export const exit = { name: 'partners', interface: 'eth1' };
export const policy = { name: 'p', namespaces: ['*'], exit: 'partners' };
export const gateway = {
  name: 'internet',
  gateways: ['172.18.0.3', '172.18.0.4'],
  addresses: ['172.18.0.33', 'fd00:172::33'],
};
export const node = { address: '172.18.0.5' };
