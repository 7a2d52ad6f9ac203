import { hasEntry, hasOthers, withEntry, withoutEntry } from './conflist.ts';
import { isNetworkName, judge, type NetworkFile } from './judge.ts';
import { asideNameOf, listNameOf, nameBefore, unwrapped, wrapped } from './wrap.ts';

/** A change of the folder. After each, runtimes can read the folder, and the rest can be planned anew. */
export type Step =
  /** In one step, with the mode and the owner of the file `like`. */
  | { readonly do: 'write'; readonly name: string; readonly text: string; readonly like: string }
  | { readonly do: 'rename'; readonly name: string; readonly to: string }
  | { readonly do: 'remove'; readonly name: string };

/** The changes of the folder, and words for a person. */
export interface Plan {
  readonly steps: readonly Step[];
  /** The file with our entry, when all is done. */
  readonly network?: string;
  /** Why there is none. */
  readonly problem?: string;
  /** Why files were passed over or left. */
  readonly remarks: readonly string[];
}

/** What is wanted of the folder. */
export interface NetworkWish {
  /** {@link entryText} */
  readonly entry: string;
  /** The file to stand in, instead of the one that runtimes choose. */
  readonly fileName?: string | undefined;
  /** The entry is on its way out: {@link planDrain}. */
  readonly isDrained?: true;
}

/** How our entry gets into the network configuration that runtimes use: the first file that they can read. */
export function planInstall(files: readonly NetworkFile[], { entry, fileName }: NetworkWish): Plan {
  const remarks: string[] = [];
  for (const file of candidates(files, fileName)) {
    const judgement = judge(file);
    if (judgement.is === 'list') {
      const source = sourceOf(file, files);
      return { ...(source ? planSingle(source, files, entry) : planList(file, files, entry)), remarks };
    }
    if (judgement.is === 'single') return { ...planSingle(file, files, entry), remarks };
    const said = `${file.name} cannot carry egress: ${judgement.because}`;
    if (judgement.is === 'unfit') return { steps: [], remarks, problem: said };
    remarks.push(said);
  }
  const wanted = fileName === undefined ? 'a network configuration' : `the network configuration ${fileName}`;
  return { steps: [], remarks, problem: [`waiting for ${wanted}`, ...remarks].join('; ') };
}

/** How our entry says that it is on its way out: where runtimes need it for pods that end, and wherever else it is. */
export function planDrain(files: readonly NetworkFile[], wish: NetworkWish): Plan {
  const plan = planInstall(files, wish);
  const others = files.filter((file) => file.name !== plan.network && judge(file).is === 'list' && hasEntry(file.text));
  return { ...plan, steps: [...plan.steps, ...others.flatMap((file) => planList(file, files, wish.entry).steps)] };
}

/** In the order of runtimes, which compare bytes. A named file may stand for the list that was made of it. */
function candidates(files: readonly NetworkFile[], fileName: string | undefined): NetworkFile[] {
  const isWanted = ({ name }: NetworkFile) =>
    isNetworkName(name) && (fileName === undefined || name === fileName || name === listNameOf(fileName));
  return files.filter(isWanted).sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
}

function planList(file: NetworkFile, files: readonly NetworkFile[], entry: string): Omit<Plan, 'remarks'> {
  const { name, text: before } = file;
  const single = writtenLate(file, files) ?? unwrapped(before);
  const text = single === undefined ? withEntry(before, entry) : wrapped(single, entry);
  return { network: name, steps: text === before ? [] : [{ do: 'write', name, text, like: name }] };
}

/** A single plugin that somebody was still writing when it was put aside, and a list was made of it. */
function writtenLate(list: NetworkFile, files: readonly NetworkFile[]): string | undefined {
  const single = unwrapped(list.text);
  const isSource = ({ name }: NetworkFile) => listNameOf(nameBefore(name) ?? '') === list.name;
  const source = single === undefined ? undefined : files.find(isSource);
  if (source === undefined || source.text === single) return undefined;
  return judge({ ...source, name: nameBefore(source.name) ?? '' }).is === 'single' ? source.text : undefined;
}

/** The `.json` that a list was made of, when it is still or again there: runtimes take the list first. */
function sourceOf(list: NetworkFile, files: readonly NetworkFile[]): NetworkFile | undefined {
  if (wrappedIn(list) === undefined) return undefined;
  return files.find(
    (file) => file.name !== list.name && listNameOf(file.name) === list.name && judge(file).is === 'single',
  );
}

/** The list first, which runtimes sort behind a `.conf`; then that is renamed, and they take the list. */
function planSingle(file: NetworkFile, files: readonly NetworkFile[], entry: string): Omit<Plan, 'remarks'> {
  const { name: single, text: before } = file;
  const name = listNameOf(single);
  const there = files.find((other) => other.name === name);
  if (there !== undefined && wrappedIn(there) === undefined) {
    return {
      steps: [],
      problem: `${single} has a single plugin, and ${name}, which was to be made of it, is not ours`,
    };
  }
  const text = wrapped(before, entry);
  const write: Step[] = there?.text === text ? [] : [{ do: 'write', name, text, like: single }];
  return { network: name, steps: [...write, { do: 'rename', name: single, to: asideNameOf(single) }] };
}

/** The single plugin that a list was made of. */
const wrappedIn = (file: NetworkFile): string | undefined =>
  file.name.endsWith('.conflist') && judge(file).is === 'list' ? unwrapped(file.text) : undefined;

/** The way back: our entry leaves all files, and wrapped files get their names back. */
export function planUninstall(files: readonly NetworkFile[]): Plan {
  const lists = files.filter(({ name }) => name.endsWith('.conflist'));
  const plans = lists.map((file) => planRelease(file, files));
  const made = new Set(lists.filter((file) => wrappedIn(file) !== undefined).map(({ name }) => name));
  const lost = files.filter(
    ({ name }) => nameBefore(name) !== undefined && !made.has(listNameOf(nameBefore(name) ?? '')),
  );
  return {
    steps: plans.flatMap(({ steps }) => steps),
    remarks: [
      ...plans.flatMap(({ remarks }) => remarks),
      ...lost.map(({ name }) => `${name} is left: the list that was made of it is gone, or somebody changed it`),
    ],
  };
}

function planRelease(file: NetworkFile, files: readonly NetworkFile[]): Plan {
  const judgement = judge(file);
  if (judgement.is === 'broken') {
    const mayBeOurs = file.text.includes('"egress"');
    return { steps: [], remarks: mayBeOurs ? [`${file.name} is left: ${judgement.because}`] : [] };
  }
  if (!hasEntry(file.text)) return { steps: [], remarks: [] };
  if (file.kind === 'link' || !hasOthers(file.text)) {
    return { steps: [], remarks: [`${file.name} is left: egress did not put its entry there`] };
  }
  const single = unwrapped(file.text);
  if (single !== undefined) return { steps: putBack(file, single, files), remarks: [] };
  const text = withoutEntry(file.text);
  return { steps: [{ do: 'write', name: file.name, text, like: file.name }], remarks: [] };
}

/** The file first, which runtimes sort before the list; then the list goes. */
function putBack({ name: list }: NetworkFile, text: string, files: readonly NetworkFile[]): Step[] {
  const names = [list.replace(/list$/, ''), list.replace(/conflist$/, 'json')];
  const has = (wanted: string) => files.some(({ name }) => name === wanted);
  const [first = '', there] = [names.find((name) => has(asideNameOf(name))), names.find(has)];
  const remove: Step = { do: 'remove', name: list };
  // A file that was written again since then is the valid one.
  if (there !== undefined) {
    return [
      remove,
      ...names
        .map(asideNameOf)
        .filter(has)
        .map((name): Step => ({ do: 'remove', name })),
    ];
  }
  if (first !== '') return [{ do: 'rename', name: asideNameOf(first), to: first }, remove];
  return [{ do: 'write', name: names[0] ?? '', text, like: list }, remove];
}
