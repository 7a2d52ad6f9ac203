import { measureFastPath } from './fast-path.ts';
import { loadNow, resultOf, writeResult } from './files.ts';

/** What `kernels.ts` runs in an emulated machine: `node in-machine.mjs FOLDER` writes the result into the folder. */
const [, , folder = '.'] = process.argv;
const before = loadNow();
writeResult(folder, resultOf('kernels', await measureFastPath(), before));
