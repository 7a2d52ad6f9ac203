import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ClusterApi, KubernetesReply } from '../../../src/kubernetes/client.ts';
import { Mirror } from '../../../src/kubernetes/mirror.ts';

type Watch = (take: (line: unknown) => void) => KubernetesReply | undefined;

const object = (name: string, resourceVersion: string, more: object = {}) => ({
  metadata: { name, resourceVersion, ...more },
});
const list = (version: string, items: readonly object[], next?: string): KubernetesReply => ({
  status: 200,
  body: { items, metadata: { resourceVersion: version, ...(next && { continue: next }) } },
});

/** What a mirror asks of an API server that answers so, in turns, and what it has in the end. */
async function mirrored(
  lists: readonly KubernetesReply[],
  watches: readonly Watch[],
  fields?: string,
  isDefined?: () => Promise<boolean>,
) {
  const end = new AbortController();
  const [asked, failures]: [string[], string[]] = [[], []];
  const [answers, follows] = [[...lists], [...watches]];
  const api = {
    get: async (path: string) => {
      asked.push(path);
      return answers.shift() ?? { status: 500, body: { message: 'no more' } };
    },
    follow: async (path: string, take: (line: unknown) => void) => {
      asked.push(path.replace(/timeoutSeconds=\d+/, 'timeoutSeconds=N'));
      const watch = follows.shift();
      if (follows.length === 0) end.abort();
      return watch?.(take);
    },
  } as unknown as ClusterApi;
  let changes = 0;
  const mirror = new Mirror<string>({
    ...{ api, path: '/things', keep: ({ metadata }) => metadata.labels?.app ?? '' },
    ...(fields !== undefined && { fields }),
    ...(isDefined && { isDefined }),
    changed: () => changes++,
    failed: (error) => failures.push(error instanceof Error ? error.message : String(error)),
    pause: () => 0,
  });
  await mirror.run(end.signal);
  return { objects: [...(mirror.objects ?? [])], asked, failures, changes: () => changes };
}

const event =
  (type: string, thing: object): Watch =>
  (take) => {
    take({ type, object: thing });
    return undefined;
  };

const watchAt = (version: string, more = '') =>
  `/things?watch=1&allowWatchBookmarks=true&timeoutSeconds=N&resourceVersion=${version}${more}`;

const missing: KubernetesReply = { status: 404, body: { message: 'no such list' } };

describe('a list of the API and its changes', () => {
  test('of a kind that is not defined is empty, and comes later; of one that is defined it is waited for', async () => {
    const later = [missing, list('7', [object('a', '5')])];
    const undefinedKind = await mirrored(later, [() => undefined], undefined, async () => false);
    assert.deepEqual([undefinedKind.objects, undefinedKind.failures], [[['a', '']], []]);
    assert.equal(undefinedKind.changes(), 2, 'that there are none is known at once');
    const defined = await mirrored(later, [() => undefined], undefined, async () => true);
    assert.deepEqual([defined.objects, defined.changes()], [[['a', '']], 1]);
    assert.match(defined.failures.join(), /404 no such list/);
  });

  test('is read page by page, and followed from there; names in namespaces are told apart', async () => {
    const { objects, asked } = await mirrored(
      [
        list('1', [object('a', '1', { namespace: 'x', labels: { app: 'web' } })], 'rest'),
        list('7', [object('a', '5', { namespace: 'y' })]),
      ],
      [event('ADDED', object('b', '8', { namespace: 'x' })), event('DELETED', object('a', '9', { namespace: 'x' }))],
      'spec.nodeName=n1',
    );
    const selector = '&fieldSelector=spec.nodeName%3Dn1';
    assert.deepEqual(asked, [
      `/things?limit=500${selector}`,
      `/things?limit=500${selector}&continue=rest`,
      watchAt('7', selector),
      watchAt('8', selector),
    ]);
    assert.deepEqual(objects, [
      ['y/a', ''],
      ['x/b', ''],
    ]);
  });

  test('is read anew when the server has forgotten where we were: by an answer, and by an event', async () => {
    const first = list('1', [object('a', '1')]);
    const second = list('5', [object('b', '5')]);
    const gone: Watch[] = [
      () => ({ status: 410, body: { message: 'too old' } }),
      event('ERROR', { metadata: { name: '' }, code: 410 }),
    ];
    for (const forgotten of gone) {
      const { objects, asked, failures } = await mirrored([first, second], [forgotten, () => undefined]);
      assert.deepEqual([objects, failures], [[['b', '']], []]);
      assert.equal(asked.filter((path) => path.startsWith('/things?limit')).length, 2);
    }
  });

  test('goes on from a bookmark, which changes nothing', async () => {
    const { asked, changes } = await mirrored(
      [list('1', [object('a', '1')])],
      [event('BOOKMARK', object('', '40')), () => undefined],
    );
    assert.deepEqual([asked.at(-1), changes()], [watchAt('40'), 1]);
  });

  test('stays as it was while the server refuses: also when it says that there is no such list', async () => {
    const refusal: Watch = () => ({ status: 403, body: { message: 'forbidden' } });
    const { objects, failures } = await mirrored(
      [list('1', [object('a', '1')]), { status: 404, body: { message: 'not found' } }, list('2', [object('a', '1')])],
      [refusal, () => undefined],
    );
    assert.deepEqual(objects, [['a', '']]);
    assert.deepEqual(failures, ['Could not watch /things: 403 forbidden', 'Could not read /things: 404 not found']);
  });
});
