import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiOfKubeconfig } from '../../../src/kubernetes/kubeconfig.ts';

const good = {
  'current-context': 'c',
  contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
  clusters: [{ name: 'k', cluster: { server: 'https://[fd00::1]:6443', 'certificate-authority': '/ca' } }],
  users: [{ name: 'u', user: { token: 't' } }],
};

const read = (text: string) => (path: string) => (path === '/k' ? text : undefined);

test('a kubeconfig file that can be used gives a way to the API', async () => {
  assert.equal(typeof (await apiOfKubeconfig('/k', read(JSON.stringify(good)))).get, 'function');
});

for (const [what, text, why] of [
  ['is not there', undefined, /\/k does not exist$/],
  ['is no YAML', 'a: [', /Flow sequence/],
  ['is something else', '[]', /#: expected a kubeconfig file, got \[\]$/],
  ['has no such context', { ...good, 'current-context': 'x' }, /there is no context "x" with a cluster$/],
  ['names no address', { ...good, clusters: [{ name: 'k', cluster: { server: 'here' } }] }, /Invalid URL/],
  [
    'speaks without TLS',
    { ...good, clusters: [{ name: 'k', cluster: { server: 'http://a' } }] },
    /expected an address with https$/,
  ],
  [
    'would start a program',
    { ...good, users: [{ name: 'u', user: { exec: {} } }] },
    /"exec"\), which is never started$/,
  ],
  [
    'has a certificate that is gone',
    { ...good, users: [{ name: 'u', user: { 'client-certificate': '/no' } }] },
    /\/no does not exist$/,
  ],
] as const)
  test(`one that ${what} is refused in words that name it`, async () => {
    const file = text === undefined ? () => undefined : read(typeof text === 'string' ? text : JSON.stringify(text));
    await assert.rejects(apiOfKubeconfig('/k', file), { code: 'invalid-argument', message: why });
  });
