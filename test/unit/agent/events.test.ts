import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Events } from '../../../src/agent/events.ts';
import { RoundNotices } from '../../../src/agent/notices.ts';
import type { ClusterApi } from '../../../src/kubernetes/client.ts';
import type { Notice } from '../../../src/kubernetes/events.ts';

const notice = (note: string): Notice => ({
  ...{ regarding: { apiVersion: 'v1', kind: 'Node', name: 'a', uid: 'a' }, type: 'Warning' },
  ...{ reason: 'EgressFailing', action: 'Look', note },
});

/** Events with an API that writes down what it is asked, a clock that is set, and what is reported. */
function withApi(answer: () => { status: number; body?: unknown } = () => ({ status: 201 })) {
  const asked: string[] = [];
  const reported: string[] = [];
  const clock = { now: 0 };
  const unasked = async () => assert.fail();
  const api: ClusterApi = {
    ...{ get: unasked, apply: unasked, follow: unasked },
    create: async (_, object) => {
      asked.push(`create ${(object as { note: string }).note}`);
      return { body: {}, ...answer() };
    },
    patch: async (_, change) => {
      asked.push(`patch ${(change as { series: { count: number } }).series.count}`);
      return { body: {}, ...answer() };
    },
  };
  const report = (error: unknown) => void reported.push(String(error));
  const events = new Events({ api, node: 'a', report, now: () => clock.now });
  const tell = async (...notes: string[]) => {
    events.tell(notes.map(notice));
    await events.flush();
    await new Promise(setImmediate);
  };
  return { asked, reported, clock, tell, events };
}

describe('Events', () => {
  test('are written once for a cause, and counted once in a minute', async () => {
    const { asked, clock, tell } = withApi();
    await tell('x');
    await tell('x', 'x');
    assert.deepEqual(asked, ['create x']);
    clock.now = 61_000;
    await tell('x');
    await tell('x');
    assert.deepEqual(asked, ['create x', 'patch 4']);
    clock.now = 61_000 + 360_000;
    await tell('x');
    assert.deepEqual(asked.slice(2), ['create x'], 'what was not told for long is told anew');
  });

  test('of a storm are cut, and there is room again later', async () => {
    const { asked, clock, tell } = withApi();
    await tell(...Array.from({ length: 60 }, (_, i) => `n${i}`));
    assert.equal(asked.length, 25);
    clock.now = 30_000;
    await tell(...Array.from({ length: 60 }, (_, i) => `m${i}`));
    assert.equal(asked.length, 28);
  });

  test('are kept while the API server is away, a few of them, and this is said once', async () => {
    let isAway = true;
    const { asked, reported, tell, events } = withApi(() => {
      if (isAway) throw new Error('away');
      return { status: 201 };
    });
    await tell('x');
    await tell('y');
    assert.deepEqual([reported.length, new Set(asked)], [1, new Set(['create x'])]);
    isAway = false;
    await events.flush();
    assert.deepEqual(asked.slice(-2), ['create x', 'create y']);
  });

  test('that an agent before told are not told again', async () => {
    const { asked, reported, tell } = withApi(() => ({ status: 409 }));
    await tell('x');
    await tell('x');
    assert.deepEqual([asked, reported], [['create x'], []]);
  });
});

describe('what came of a round', () => {
  const refused = [
    {
      pod: { namespace: 'shop', name: 'web-0' },
      network: 'n',
      containerId: 'c',
      ifname: 'eth0',
      exits: [],
      problem: 'no',
    },
  ];
  const failures = ['Exit "x": no interface', 'pod shop/web-0: no'];

  test('is told of the pod or of the node that it is about, when it lasts, and once', () => {
    const notices = new RoundNotices();
    const of = (round: { refused: typeof refused; failures: string[] }) =>
      notices
        .of(round, 'a')
        .map(({ regarding, reason, note }) => `${regarding.kind} ${regarding.name} ${reason}: ${note}`);
    assert.deepEqual(of({ refused, failures }), [], 'it may be over at once');
    assert.deepEqual(of({ refused, failures }), [
      'Pod web-0 Outdated: The pod cannot have what the policies say now: no',
      'Node a EgressFailing: Exit "x": no interface',
    ]);
    assert.deepEqual(of({ refused, failures }), []);
    assert.deepEqual(of({ refused: [], failures: [] }), []);
    assert.deepEqual(of({ refused, failures }), []);
    assert.equal(of({ refused, failures }).length, 2, 'it is wrong again');
  });
});
