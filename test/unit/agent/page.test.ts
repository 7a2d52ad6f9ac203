import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, test } from 'node:test';
import { plain, servePages } from '../../../src/agent/page.ts';

const host = '127.0.0.1';

/** A port that somebody has until it is closed. */
async function taken() {
  const holder = createServer().listen(0, host);
  await once(holder, 'listening');
  const { port } = holder.address() as { port: number };
  return { port, free: () => once(holder.close(), 'close') };
}

const pages = {
  '/a': (accept: string) => plain(200, accept),
  '/b': () => Promise.reject(new Error('broken')),
};

/** Serves the pages at a port, and waits until it listens. */
async function serving(port: number): Promise<Disposable> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const server = servePages({ host, port }, pages, { listening: () => resolve(), report: reject });
  await promise;
  return server;
}

describe('pages', () => {
  test('are served by their paths; others and other methods are refused, and an error is an answer', async () => {
    const { port, free } = await taken();
    await free();
    using _server = await serving(port);
    const ask = async (path: string, init: RequestInit = {}) => {
      const response = await fetch(`http://${host}:${port}${path}`, { headers: { accept: 'x/y' }, ...init });
      return [response.status, await response.text()];
    };
    assert.deepEqual(await ask('/a?b=c'), [200, 'x/y\n']);
    assert.deepEqual(await ask('/a', { method: 'HEAD' }), [200, '']);
    assert.deepEqual(await ask('/a', { method: 'POST' }), [405, 'Only GET and HEAD are answered here.\n']);
    assert.deepEqual(await ask('/constructor'), [404, 'There is /a, /b.\n']);
    assert.deepEqual(await ask('/b'), [500, 'broken\n']);
  });

  test('are served as soon as somebody else leaves the port; until then that is said once', async () => {
    const { port, free } = await taken();
    const said: string[] = [];
    const { promise, resolve } = Promise.withResolvers<string>();
    let tries = 0;
    const listener = {
      listening: resolve,
      report: ({ message }: Error) => {
        said.push(message);
      },
    };
    using _server = servePages({ host, port }, pages, listener, 1);
    while (said.length === 0 || tries++ < 20) await new Promise(setImmediate);
    await free();
    assert.equal(await promise, `${host}:${port}`);
    assert.equal(said.length, 1);
    assert.match(said[0] ?? '', new RegExp(`^No metrics at ${host}:${port}: .*EADDRINUSE`));
  });
});
