import { Argument, type Command } from 'commander';
import type { CliCommand } from './command.ts';

const shells = ['bash', 'zsh', 'fish'] as const;

/** `egress completion`, for the commands below `program`. */
export const completionCommand = (program: Command): CliCommand => ({
  name: 'completion',
  summary: 'print a script by which a shell completes commands and options: source <(egress completion bash)',
  options: (command) => command.addArgument(new Argument('<shell>', 'the shell').choices(shells)),
  run: async ({ write }, shell: (typeof shells)[number]) => {
    const { wordsOf } = await import('./shell/words.ts');
    write((await scripts[shell]())(wordsOf(program)));
  },
});

const scripts = {
  bash: async () => (await import('./shell/bash.ts')).bashScript,
  zsh: async () => (await import('./shell/zsh.ts')).zshScript,
  fish: async () => (await import('./shell/fish.ts')).fishScript,
} as const;

/** `egress man`, the same. */
export const manCommand = (program: Command): CliCommand => ({
  name: 'man',
  summary: 'print the manual page: egress man | man -l -',
  options: (command) => command,
  run: async ({ write, version }) => {
    const [{ wordsOf }, { manPage }] = [await import('./shell/words.ts'), await import('./shell/man.ts')];
    write(manPage(wordsOf(program), version));
  },
});
