import { tableName } from '../../nftables/object.ts';
import { eachAttribute } from './wire.ts';

/** linux/netfilter/nfnetlink.h, NFNLGRP_NFTABLES: whoever is in the group is told of each change of the ruleset. */
export const nftablesGroup = 7;
/** linux/netfilter/nfnetlink.h: length of struct nfgenmsg. */
export const genericHeaderLength = 4;
/** NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, …: the same in every message of nf_tables. */
const tableAttribute = 1;
const ourTable = Buffer.from(`${tableName}\0`);

/** Whether a message of nf_tables is about a table with our name. Others may change their tables as often as they like. */
export function isOfOurTable(body: Buffer): boolean {
  let isOurs: boolean | undefined;
  eachAttribute(body, genericHeaderLength, body.length, (type, from, to) => {
    isOurs ??= type === tableAttribute && ourTable.equals(body.subarray(from, to));
  });
  return isOurs === true;
}
