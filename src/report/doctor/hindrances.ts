import type { Hindrance } from '../../datapath/passage.ts';
import type { Facts } from './facts.ts';
import { fault, few, type Seen } from './finding.ts';

/** The hindrances that CHECK tells, too, of one subject. */
export const hindrancesAbout = ({ hindrances }: Facts, ...subjects: readonly Hindrance['about'][]): readonly Seen[] =>
  few(
    hindrances
      .filter(({ about }) => subjects.includes(about))
      .map(({ what, remedy, command }) => fault(what, command ?? remedy)),
  );
