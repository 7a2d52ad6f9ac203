import type { RouterStatus } from '../election/router.ts';

/** What a person should know of a Virtual Router, in sentences; none when all is as it should be. */
export function notesOf({
  state,
  why,
  silent,
  duplicates,
  foreign,
  problem,
}: Pick<RouterStatus, 'state' | 'why' | 'silent' | 'duplicates' | 'foreign' | 'problem'>): readonly string[] {
  return [
    ...(state === 'initialize' ? [`it takes no part: ${why}`] : []),
    ...(problem !== undefined ? [`its addresses are not as they should be: ${problem}`] : []),
    ...(silent !== undefined
      ? [`${silent} has the addresses and sends no advertisements, but its kernel answers: nothing moves while it does`]
      : []),
    ...duplicates.map(({ address, mac }) => `${address} is claimed by ${mac}, too`),
    ...foreign.map(
      ({ source, addresses }) =>
        `router ${source} has the same VRID for ${addresses.join(', ')}: set "vrid" of the exit to another number`,
    ),
  ];
}
