import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type Installation, list, listOf, primed, requireEgressIn, singleOf, until } from '../support/installation.ts';
import { labTest } from '../support/lab.ts';

const files = { '05-single.conf': singleOf('x'), [list]: listOf('first') };
const network = '05-single.conflist';

function requireDraining(host: Installation, mark: string): void {
  assert.ok(requireEgressIn(host, network).includes(`"mark": "${mark}"`));
  assert.match(host.read(network), /"draining":true/);
}

describe('egress uninstall --drain', () => {
  test(
    'waits in the chain for the last pod, whoever writes there, and leaves every file as it was',
    labTest,
    async () => {
      await using host = primed(files);
      const before = host.tree();
      await host.install();
      const ends = [host.steer('a'), host.steer('b')];
      const daemon = await host.drain('2 attachments', '--binary');
      requireDraining(host, 'x');
      for (const mark of ['newer', 'x']) {
        host.write('05-single.conf', singleOf(mark));
        await until(() => !existsSync(join(host.conf, '05-single.conf')));
        requireDraining(host, mark);
      }
      for (const end of ends) end();
      await daemon.closed;
      assert.match(daemon.lines.join('\n'), /put 05-single\.conf back\n(.*\n)*removed .*\/egress$/);
      assert.deepEqual(host.tree(), before);
    },
  );

  test('with --stay stays when all is done, and is ready, until it is told to end', labTest, async () => {
    await using host = primed(files);
    await host.install();
    const end = host.steer('a');
    const daemon = await host.drain('1 attachment ', '--binary', '--stay', '--ready-file', host.readyFile);
    assert.equal((await host.ready()).code, 1, 'a pod is still steered');
    end();
    await daemon.line('egress is off this node');
    const { code, stdout } = await host.ready();
    assert.deepEqual([code, JSON.parse(stdout).ready], [0, true]);
    // A process that nothing keeps has ended by now: its last line comes before its end, and `ready` takes longer than that.
    assert.equal((await host.ready()).code, 0);
    assert.equal(daemon.hasEnded, false, daemon.lines.join('\n'));
    await daemon.stop();
    assert.equal((await host.ready()).code, 1);
  });

  test('that gets SIGTERM leaves the chain draining; installing takes that out again', labTest, async () => {
    await using host = primed(files);
    const before = host.tree();
    await host.install();
    const installed = host.tree();
    const end = host.steer('a');
    const daemon = await host.drain('1 attachment ');
    await daemon.stop();
    assert.match(daemon.lines.at(-1) ?? '', /told to end before the last pod had ended/);
    requireDraining(host, 'x');
    assert.equal((await host.install()).code, 0);
    assert.deepEqual(host.tree(), installed);
    end();
    await host.uninstall({ more: ['--binary'] });
    assert.deepEqual(host.tree(), before);
  });
});
