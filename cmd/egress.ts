import { startupSnapshot } from 'node:v8';
import { end } from './end.ts';
import { runAsPlugin } from './plugin.ts';
import { version } from './version.ts';
import { warmUp } from './warm-up.ts';

/**
 * The one binary: a runtime calls it with CNI_COMMAND in the environment, a person with words on the command line.
 *
 * The build runs this file once and keeps the heap (V8 start-up snapshot); the binary begins in `main`. So nothing may
 * read the environment, the arguments or a file descriptor outside of it.
 */
async function main(): Promise<never> {
  const words = process.argv.slice(2);
  // Not in the snapshot: every call of a runtime would carry all that people need.
  if (words.length > 0) return await (await import('./operator.ts')).operate(words);
  end(await run());
}

async function run(): Promise<number> {
  if (process.env.CNI_COMMAND !== undefined) return await runAsPlugin();
  process.stderr.write(`CNI egress plugin v${version}: called by a container runtime. For people: egress --help\n`);
  return 0;
}

async function makeSnapshot(): Promise<void> {
  await warmUp();
  startupSnapshot.setDeserializeMainFunction(main);
}

void (startupSnapshot.isBuildingSnapshot() ? makeSnapshot() : main());
