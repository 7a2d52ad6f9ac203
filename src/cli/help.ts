import type { CliCommand } from './command.ts';
import { toJson } from './command.ts';

interface HelpOptions {
  readonly list?: true;
  readonly json?: true;
}

export const helpCommand: CliCommand = {
  name: 'help',
  summary: 'tell the cause and the remedy of an error, a counter or a line of a log: by its name, number or text',
  options: (command) =>
    command
      .argument('[word...]', 'exit-interface, 103, guard, "could not be repaired", …')
      .option('--list', 'name all that there is help for')
      .option('--json', 'print JSON'),
  run: async ({ write }, words: readonly string[], { list, json }: HelpOptions) => {
    // Loaded only now: no other command needs so many words.
    const { printList, printTopic, topicFor, topics } = await import('./help/topics.ts');
    if (list || words.length === 0) return write(json ? toJson(topics) : printList());
    const topic = topicFor(words.join(' '));
    write(json ? toJson(topic) : printTopic(topic));
  },
};
