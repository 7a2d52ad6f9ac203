import { isObject } from '../base/is-object.ts';
import { supportedVersions } from '../cni/versions.ts';
import { hasOthers } from './conflist.ts';
import { pluginType } from './entry.ts';

/** A file of the folder of network configurations. */
export interface NetworkFile {
  readonly name: string;
  /** Runtimes follow links; we do not replace them. */
  readonly kind: 'file' | 'link';
  /** Its bytes, one in each character (latin1). */
  readonly text: string;
}

/**
 * The kind of a file for us: a `list` or a `single` plugin that can carry our entry; `broken` when no runtime would
 * take it, `unfit` when a runtime does but we cannot stand in it.
 */
export type Judgement =
  | { readonly is: 'list' }
  | { readonly is: 'single' }
  | { readonly is: 'broken'; readonly because: string }
  | { readonly is: 'unfit'; readonly because: string };

const broken = (because: string): Judgement => ({ is: 'broken', because });
const unfit = (because: string): Judgement => ({ is: 'unfit', because });

/** Whether runtimes look at a file, by its name. */
export const isNetworkName = (name: string): boolean => /\.(conf|conflist|json)$/.test(name);

/** Only its structure is judged: whether the pods' traffic can be steered is said by ADD. */
export function judge(file: NetworkFile): Judgement {
  const document = parsed(file.text);
  if (typeof document === 'string') return broken(document);
  if (typeof document.name !== 'string' || document.name === '') return broken('it has no name');
  const isList = file.name.endsWith('.conflist');
  const fault = isList ? faultOfList(document, file.text) : faultOfSingle(document);
  if (fault !== undefined) return fault;
  if (file.kind === 'link') return unfit('it is a symbolic link, which egress would have to replace by a file');
  if (!isSpoken(document)) return unfit(`its cniVersion is ${versionText(document.cniVersion)}, ${spoken}`);
  return { is: isList ? 'list' : 'single' };
}

type Document = Readonly<Record<string, unknown>>;

function parsed(text: string): Document | string {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : 'it is no JSON object';
  } catch {
    return 'it is not JSON, or not yet complete';
  }
}

const hasType = (plugin: unknown): boolean => isObject(plugin) && typeof plugin.type === 'string' && plugin.type !== '';

function faultOfList({ plugins }: Document, text: string): Judgement | undefined {
  if (!Array.isArray(plugins) || plugins.length === 0) return broken('it has no plugins');
  if (!plugins.every(hasType)) return broken('one of its plugins has no type');
  return hasOthers(text) ? undefined : unfit('it has no plugin but egress, so nothing makes the pods’ interfaces');
}

function faultOfSingle(document: Document): Judgement | undefined {
  if (!hasType(document)) return broken('it has no type');
  return document.type === pluginType ? unfit('its only plugin is egress') : undefined;
}

const spoken = `egress speaks ${supportedVersions.join(', ')}`;

const versionText = (version: unknown): string => (version === undefined ? 'absent' : JSON.stringify(version));

/** A list may name several versions instead of one (`cniVersions`); the runtime takes the newest that both sides know. */
function isSpoken({ cniVersion, cniVersions }: Document): boolean {
  const all = [cniVersion, ...(Array.isArray(cniVersions) ? cniVersions : [])];
  return supportedVersions.some((version) => all.includes(version));
}
