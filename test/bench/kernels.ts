import { bundle } from '../support/kernels/bundle.ts';
import { diskOf } from '../support/kernels/disk.ts';
import { Machine } from '../support/kernels/machine.ts';
import { root } from '../support/tools.ts';
import { commit, printed, readResults, resultsFolder, writeResult } from './files.ts';

/**
 * Measures in an emulated machine what needs a kernel with flowtables: `node test/bench/kernels.ts [SUITE]`. Its clock counts
 * instructions, so the figures are the same on a busy host; `BENCH_CLOCK=host` has it show the host's time, for a quiet one.
 */
const [, , suite = 'trixie'] = process.argv;
process.chdir(root);
const disk = await diskOf(suite);
using machine = new Machine();
const [program] = await bundle(['test/bench/in-machine.ts'], machine.folder);
const variables = ['BENCH_ROUNDS', 'BENCH_SECONDS'].flatMap((name) => {
  const value = process.env[name];
  return value === undefined ? [] : [`${name}='${value}'`];
});
const line = `${variables.join(' ')} node_modules/.bin/node ${program} /mnt`;
const code = await machine.run(disk, line, { countsInstructions: process.env.BENCH_CLOCK !== 'host' });
const result = code === 0 ? readResults(machine.folder).find(({ part }) => part === 'kernels') : undefined;
if (result === undefined) throw new Error('Nothing was measured');
const measured = { ...result, run: { ...result.run, commit: commit() } };
writeResult(resultsFolder, measured);
console.log(printed(measured));
