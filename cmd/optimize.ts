import { setFlagsFromString } from 'node:v8';

/**
 * Has V8 compile from now on what runs often. The binary begins without (`install/executable.ts`): what a runtime calls is over before
 * that pays. `--max-opt` is a limit alone, and V8 switched its compilers off one by one when it read it at the start (flags.cc,
 * EnforceFlagImplications): each has to be switched on again. TurboFan stays off: it takes more memory, and little less time than Maglev.
 */
export function optimize(): void {
  for (const flag of ['--max-opt=999', '--sparkplug', '--maglev']) setFlagsFromString(flag);
}
