import type { Element, NftSet } from '../nftables/object.ts';
import { hostHex } from '../nftables/statement.ts';
import type { Change } from './difference.ts';
import * as layout from './layout.ts';
import type { Sysctl } from './objects.ts';
import type { OurState, Remembered } from './release.ts';
import { carrierNames, parameterNames, reversePathName, validMarkName } from './reverse-path.ts';
import { tunnelDevice } from './tunnel.ts';

/**
 * A value of the administrator's that we overwrote, kept in a map of our table, safe from lost files. There is one map
 * for each kind of parameter, and its key is the interface's index, since names change. No rule looks into these maps.
 * Another installation on the node sees them, whatever its data folder. Somebody may flush the table, so the node's
 * record has the values as well.
 */
export interface Kept {
  /** Its comment is the name that the interface had when we overwrote the value. */
  readonly element: Element;
  /** The present name of the interface; absent when it is gone. */
  readonly device?: string;
}

/** The map of a parameter of an interface, by the parameter's path below /proc/sys. */
const mapOf = (name: string): NftSet => {
  const { family = '', parameter = '' } = partsOf(name);
  return { kind: 'set', name: `kept${family}-${parameter}`, key: ['iface_index'], value: 'mark' };
};

/** A path below /proc/sys; the name of an interface may hold dots, but no slash. */
const partsOf = (name: string) =>
  /^net\/ipv(?<family>\d)\/conf\/(?<device>[^/]+)\/(?<parameter>\w+)$/.exec(name)?.groups ?? {};

/** All maps of kept values. */
export const keptMaps: readonly NftSet[] = parameterNames({
  ...{ name: 'any', id: 1, device: 'any', ways: [] },
  onUnavailable: 'node',
}).map(mapOf);

const isMap = ({ name }: Pick<NftSet, 'name'>): boolean => keptMaps.some((map) => map.name === name);

/** The index of the interface that an element is about. */
export const indexOfKept = ({ key }: Element): number => Buffer.from(key, 'hex').readUInt32LE();

/** The name of the interface in the path of a parameter. */
export const deviceOfParameter = (name: string): string => partsOf(name).device ?? '';

/** The path of the parameter that a value was, or is, of, as the interface is called. */
const nameOf = ({ set }: Element, device: string): string => {
  const [, family, parameter] = /^kept(\d)-(\w+)$/.exec(set) ?? [];
  return `net/ipv${family}/conf/${device}/${parameter}`;
};

const textOf = ({ value = '' }: Element): string => String(Buffer.from(value, 'hex').readInt32LE());

/** Kept values by the paths of their parameters now, but for interfaces that are gone. */
export const keptValues = (kept: readonly Kept[]): Readonly<Record<string, string>> =>
  Object.fromEntries(
    kept.flatMap(({ element, device }) => (device === undefined ? [] : [[nameOf(element, device), textOf(element)]])),
  );

/** The changes that keep a parameter's value. `index` is of its interface. */
export function keeping(kept: readonly Kept[], name: string, index: number, value: string): Change[] {
  const map = mapOf(name);
  const key = hostHex(index);
  const object: Element = {
    ...{ kind: 'element', set: map.name, key, value: hostHex(Number(value) >>> 0) },
    comment: deviceOfParameter(name),
  };
  const observed = kept.map(({ element }) => element).find((own) => own.set === map.name && own.key === key);
  return [{ verb: 'add', object: map }, observed ? { verb: 'replace', object, observed } : { verb: 'add', object }];
}

/** Whether a parameter's value is kept. Parameters of the tunnel's device go with it. */
export const isKept = (name: string): boolean => isMap(mapOf(name)) && deviceOfParameter(name) !== tunnelDevice;

/** Whether a change only keeps a value, and no steering object differs. */
export const isKeeping = ({ object }: Change): boolean =>
  object.kind === 'set' ? isMap(object) : object.kind === 'element' && isMap({ name: object.set });

/** What gives the administrator's values back. */
export interface PutBack {
  /** Parameters of interfaces that no exit in use leaves by, with the values that they had before us. */
  readonly parameters: readonly Sysctl[];
  /** Where those values were kept. */
  readonly elements: readonly Element[];
  readonly maps: readonly NftSet[];
}

/**
 * Parameters and maps that nobody needs when only some exits are in use, by the kernel and by the record. The kernel
 * knows where an interface went.
 */
export function putBack(state: OurState, used: ReadonlySet<number | undefined>, remembered: Remembered): PutBack {
  const needed = neededNames(state, used, remembered);
  const names = ({ element, device }: Kept) =>
    [device, element.comment].flatMap((known) => (known === undefined ? [] : [nameOf(element, known)]));
  const gone = state.kept.filter((one) => !names(one).some((name) => needed.has(name)));
  const earlier = new Set(state.kept.flatMap(names));
  const recorded = Object.entries(remembered.sysctls).filter(([name]) => !needed.has(name) && !earlier.has(name));
  const all = [...recorded, ...Object.entries(keptValues(gone))];
  const isLeft = ({ name }: NftSet) => state.kept.some((one) => one.element.set === name && !gone.includes(one));
  return {
    parameters: all.map(([name, value]) => ({ kind: 'sysctl', name, value })),
    elements: gone.map(({ element }) => element),
    maps: state.sets.filter((set) => isMap(set) && !isLeft(set)),
  };
}

/** Parameters of exits in use, by the record and by the kernel: another installation may have set them up. */
function neededNames(
  { exitElements }: OurState,
  used: ReadonlySet<number | undefined>,
  { exits }: Remembered,
): ReadonlySet<string> {
  const inUse = exitElements.filter((element) => used.has(layout.exitIdOfElement(element)));
  const fallback = new Set(
    inUse.filter(({ set }) => set === layout.setNames.fallback).map(({ key }) => layout.exitIdOfKey(key)),
  );
  const byKernel = inUse
    .filter(({ set }) => layout.isLanesSet(set))
    .flatMap(({ key }) => {
      const [device, id] = [layout.deviceOfKey(key), layout.exitIdOfKey(key)];
      return [
        ...[reversePathName(device), validMarkName(device)],
        ...carrierNames({ device, ...(fallback.has(id) && { onUnavailable: 'node' }) }),
      ];
    });
  return new Set([...exits.filter(({ id }) => used.has(id)).flatMap(parameterNames), ...byKernel]);
}
