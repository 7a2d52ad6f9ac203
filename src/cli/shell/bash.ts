import { allOf, type CommandWords, type Kind } from './words.ts';

/** A script for bash: `source <(egress completion bash)`. It asks nobody, egress least of all. */
export function bashScript(program: CommandWords): string {
  const commands = allOf(program);
  return `# bash completion for egress, made by: egress completion bash
_egress() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} path= next words= kind= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    next="$path \${COMP_WORDS[i]}"
    case "$next" in
      ${commands.slice(1).map(pathText).join(' | ')}) path=$next ;;
    esac
  done
  case "$path $before" in
${commands.flatMap(valueLines).join('\n')}
  esac
  if [[ -z $kind ]]; then
    case "$path" in
${commands.map(commandLines).join('\n')}
    esac
    [[ $word == -* ]] && kind=words
  fi
  case $kind in
    file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    folder) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
    words) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word") ;;
    *) COMPREPLY=() ;;
  esac
}
complete -F _egress egress
`;
}

/** `' exit move'`: as the loop above joins words. */
const pathText = ({ path }: CommandWords): string => `'${path.map((part) => ` ${part}`).join('')}'`;

/** Behind an option with a value. */
const valueLines = (command: CommandWords): string[] =>
  command.options.flatMap(({ long, value }) => {
    if (value === undefined) return [];
    return [`    ${pathText(command).slice(0, -1)} ${long}') ${setting(value.kind)} ;;`];
  });

const setting = (kind: Kind): string =>
  typeof kind === 'string' ? `kind=${kind}` : `kind=words words='${kind.join(' ')}'`;

/** Behind a command: those below it, or its options, with the words or files that it takes. */
function commandLines(command: CommandWords): string {
  const below = command.commands.map(({ name }) => name);
  const options = command.options.map(({ long }) => long);
  const [argument] = command.arguments;
  const choices = argument && typeof argument.kind !== 'string' ? argument.kind : [];
  const words = [...below, ...choices, ...options].join(' ');
  const kind = argument && typeof argument.kind === 'string' ? argument.kind : 'words';
  return `      ${pathText(command)}) words='${words}' kind=${kind} ;;`;
}
