import { nextNonSpace } from '../base/json-text.ts';
import { rawMember } from '../cni/stdin.ts';
import { isOurs, pluginList, plugins } from './conflist.ts';

/**
 * A file with a single plugin (`.conf`, `.json`) has no room for a second one. Runtimes make a list of it with its
 * name, its version and itself as the only plugin. So do we, with our entry behind it. The file stands in that list as
 * it was, to its last byte.
 */
export function wrapped(single: string, entry: string): string {
  const member = (key: string) => {
    const value = rawMember(single, key);
    return value === undefined ? '' : `"${key}":${value},`;
  };
  return `{${member('cniVersion')}${member('name')}"plugins":[${single},${entry}]}\n`;
}

/** The single plugin of a list that {@link wrapped} made and nobody changed; else `undefined`. */
export function unwrapped(list: string): string | undefined {
  const [first, ours, ...more] = [...plugins(list)];
  const start = pluginList(list)?.start;
  if (first === undefined || ours === undefined || more.length > 0 || start === undefined || !isOurs(ours)) return;
  const single = list.slice(start + 1, nextNonSpace(list, first.end));
  return wrapped(single, ours.text) === list ? single : undefined;
}

/** The name of the list that is made of a file with a single plugin. No other file sorts between the two, as a rule. */
export const listNameOf = (name: string): string => name.replace(/\.(conf|json)$/, '.conflist');

const aside = '.before-egress';

/** The name of a file that was wrapped. No runtime reads such a name. */
export const asideNameOf = (name: string): string => `${name}${aside}`;

/** The name that a file had before it was wrapped; `undefined` for any other file. */
export const nameBefore = (name: string): string | undefined =>
  name.endsWith(aside) ? name.slice(0, -aside.length) : undefined;
