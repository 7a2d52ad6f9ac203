import type { Mac } from '../../datapath/objects.ts';
import type { Field } from '../netlink/field.ts';

/** A link layer address of six bytes. */
export const mac: Field<Mac> = {
  encode: (value) => Buffer.from(value.replaceAll(':', ''), 'hex'),
  decode: (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':'),
};
