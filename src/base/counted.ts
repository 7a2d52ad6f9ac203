/** A number of things as people say it: `1 packet`, `2 packets`. Only for words that take an `s`. */
export const counted = (count: number | bigint, thing: string): string =>
  `${count} ${thing}${Number(count) === 1 ? '' : 's'}`;
