import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unwritten } from '../../cmd/memory.ts';

/** A part of a process's memory, as /proc/PID/smaps has it. */
const part = (range: string, rights: string, path: string, anonymous = 0, swap = 0): string => `\
${range} ${rights} 00000000 fe:00 5414979                            ${path}
Size:              43740 kB
Rss:               17988 kB
Anonymous:      ${`${anonymous}`.padStart(8)} kB
AnonHugePages:         0 kB
Swap:           ${`${swap}`.padStart(8)} kB
SwapPss:               0 kB
VmFlags: rd ex mr mw me
`;

test('of its own file a process gives back what nobody has written into, and nothing else', () => {
  const smaps = [
    part('00400000-0074a000', 'r--p', '/opt/cni/bin/egress'),
    part('0074a000-03201000', 'r-xp', '/opt/cni/bin/egress'),
    part('03201000-06b51000', 'r--p', '/opt/cni/bin/egress', 4), // relocations: in no file
    part('06b51000-06b52000', 'r--p', '/opt/cni/bin/egress', 0, 4), // the same, swapped out
    part('06b52000-06b60000', 'rw-p', '/opt/cni/bin/egress'),
    part('06b60000-06b70000', 'r--s', '/opt/cni/bin/egress'),
    part('280d1000-288c8000', 'rw-p', '[heap]', 6964),
    part('7f71c8c44000-7f71c8d9a000', 'r-xp', '/usr/lib/libc.so.6'),
    part('7f71c8d9a000-7f71c8d9b000', 'r-xp', '/opt/cni/bin/egress (deleted)'),
  ].join('');
  assert.deepEqual(unwritten(smaps, '/opt/cni/bin/egress'), [
    [0x400000n, 0x74a000n],
    [0x74a000n, 0x3201000n],
  ]);
  assert.deepEqual(unwritten(''), []);
});
