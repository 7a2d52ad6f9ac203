import type { Element } from '../../nftables/object.ts';
import { keyText } from '../layout.ts';
import { type Kind, noInterface } from './kind.ts';
import { keyIn } from './table.ts';

/** An element is made anew, with all that it counted. */
export const element: Kind<Element> = {
  key: (object) => keyIn(object, 'element', object.set, object.key),
  text: ({ set, key }) => `element ${keyText(set, key)} of ${set}`,
  needsUp: noInterface,
  hasMark: true, // some have it in their keys
};
