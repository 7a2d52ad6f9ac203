import { hexNumber } from '../../base/shown.ts';
import { dormant, type InTable, type Table } from '../../nftables/object.ts';
import { nameOfTable } from '../../nftables/script.ts';
import { type Kind, noInterface } from './kind.ts';

/** A table that is replaced by an equal one loses its content. */
export const table: Kind<Table> = {
  key: (object) => keyIn(object, 'table'),
  text: (object) => `table ${nameOfTable(object)}`,
  describe: (_, observed) => [describeFlags(observed)],
  needsUp: noInterface,
  hasMark: true, // with all that is in it
};

/** The key of something in a table: the other table has objects of the same names. */
export const keyIn = ({ family }: InTable, ...parts: readonly string[]): string =>
  [...(family === undefined ? [] : [family]), ...parts].join(' ');

/** Of a table with NFT_TABLE_F_OWNER only its owner may change anything; with all others it is as if they were not there. */
function describeFlags(observed: Table): string {
  const { flags = 0 } = observed;
  const name = `table ${nameOfTable(observed)}`;
  return (flags & dormant) !== 0
    ? `${name} is dormant: none of its rules acts`
    : `${name} has flags ${hexNumber(flags)}, which we never give`;
}
