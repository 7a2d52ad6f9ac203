import type { Element, NftSet } from '../../nftables/object.ts';
import type { ObservedElement } from '../../nftables/observed.ts';
import { decode, encode } from '../netlink/wire.ts';
import { elementAttributes } from './attributes.ts';
import { counterIn } from './expression.ts';
import { decodeComment, encodeComment } from './userdata.ts';

/** An element as it is added. */
export function encodeElement({ key, value, verdict, comment }: Element): Buffer {
  const data = value === undefined && verdict === undefined ? undefined : { value, verdict };
  return encode(elementAttributes, { key, data, userdata: comment === undefined ? undefined : encodeComment(comment) });
}

/** The attributes that name an element in a deletion or a question. */
export const encodeKey = (key: Element['key']): Buffer => encode(elementAttributes, { key });

/** An element of a set as the kernel lists it. */
export function decodeElement({ family, name }: Pick<NftSet, 'family' | 'name'>, bytes: Buffer): ObservedElement {
  const { key = '', data = {}, userdata, expression } = decode(elementAttributes, bytes);
  const comment = userdata && decodeComment(userdata);
  const counter = expression && counterIn([expression]);
  return {
    kind: 'element',
    ...(family && { family }),
    set: name,
    key,
    ...(data.value !== undefined && { value: data.value }),
    ...(data.verdict !== undefined && { verdict: data.verdict }),
    ...(comment !== undefined && { comment }),
    ...(counter !== undefined && { counter }),
  };
}
