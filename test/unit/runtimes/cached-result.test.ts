import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readCachedResult } from '../../../src/runtimes/cached-result.ts';

const capability = 'io.kubernetes.cri.pod-annotations';

/** As libcni 1.1 writes it for containerd. */
const cached = {
  kind: 'cniCacheV1',
  containerId: '9321b05a',
  config: 'eyJuYW1lIjoiY2JyMCJ9',
  ifName: 'eth0',
  networkName: 'cbr0',
  cniArgs: [
    ['K8S_POD_UID', 'u-1'],
    ['IgnoreUnknown', '1'],
    ['K8S_POD_NAMESPACE', 'default'],
    ['K8S_POD_NAME', 'web=1'],
  ],
  capabilityArgs: { dns: {}, [capability]: { 'egress.cni/exit': 'partners' } },
  result: { cniVersion: '1.0.0', ips: [] },
};

describe('what libcni remembers of an attachment', () => {
  test('names it, with what the runtime said of the pod', () => {
    assert.deepEqual(readCachedResult(JSON.stringify(cached)), {
      containerId: '9321b05a',
      ifname: 'eth0',
      network: 'cbr0',
      args: 'K8S_POD_UID=u-1;IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web=1',
      annotations: { 'egress.cni/exit': 'partners' },
      result: cached.result,
    });
  });

  test('may be without arguments and capabilities', () => {
    const { args, annotations } =
      readCachedResult(JSON.stringify({ ...cached, cniArgs: null, capabilityArgs: null })) ?? {};
    assert.deepEqual([args, annotations], ['', undefined]);
  });

  for (const [what, text] of [
    ['a bare result of an old libcni', JSON.stringify(cached.result)],
    ['a file that was not written to its end', JSON.stringify(cached).slice(0, -2)],
    ['another kind', JSON.stringify({ ...cached, kind: 'cniCacheV2' })],
    ['one without a result', JSON.stringify({ ...cached, result: undefined })],
    ['one without a name', JSON.stringify({ ...cached, networkName: 7 })],
    ['a list', '[]'],
    ['nothing', ''],
  ] as const) {
    test(`is not ${what}`, () => assert.equal(readCachedResult(text), undefined));
  }
});
