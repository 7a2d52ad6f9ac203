import { globSync } from 'node:fs';
import { bundle } from '../support/kernels/bundle.ts';
import { diskOf } from '../support/kernels/disk.ts';
import { Machine } from '../support/kernels/machine.ts';
import { root } from '../support/tools.ts';

/**
 * Runs files of tests in an emulated machine with the kernel of a release of Debian, and ends with their result:
 * `node test/kernels/run.ts [SUITE] [OPTION-OF-NODE…] [FILE…]`. A test that is skipped there has failed.
 */
const words = process.argv.slice(2);
const options = words.filter((word) => word.startsWith('-'));
const named = words.filter((word) => word.endsWith('.ts') && !word.startsWith('-'));
const [suite = 'trixie', ...others] = words.filter((word) => !options.includes(word) && !named.includes(word));
if (others.length > 0) throw new Error(`One release of Debian in each machine, not also ${others.join(', ')}`);
const files = named.length > 0 ? named : globSync('test/kernels/*.test.ts', { cwd: root }).sort();

process.chdir(root);
const disk = await diskOf(suite);
using machine = new Machine();
const noSkips = 'test/support/kernels/no-skips.ts';
const [reporter, ...bundles] = await bundle([noSkips, ...files], machine.folder);
const reporters = { spec: 'stdout', [`${reporter}`]: 'stderr' };
const runner = [
  ...['node_modules/.bin/node', '--test', '--test-concurrency=1'],
  ...Object.entries(reporters).flatMap(([name, to]) => [
    `--test-reporter=${name}`,
    `--test-reporter-destination=${to}`,
  ]),
  ...options,
];
const quoted = [...runner, ...bundles].map((word) => `'${word}'`);
process.exitCode = await machine.run(disk, `uname -a; nft --version; CI=true exec ${quoted.join(' ')}`);
