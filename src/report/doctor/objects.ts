import { counted } from '../../base/counted.ts';
import type { Facts, Wrong } from './facts.ts';
import { fault, few, ok, orOk, type Seen } from './finding.ts';

/** Our own objects in the kernel, against the records. */
export function objects({ node, pods, objects }: Facts): readonly Seen[] {
  if (node === undefined && pods.length === 0) return [ok('no pod of this node is steered, and it is no gateway')];
  const table = objects.find(({ what }) => what.startsWith('table inet '));
  if (table !== undefined) {
    const pods = 'flushed, or never made: nothing is steered, and what is counted is lost';
    return [fault(`${table.of}: ${table.what} (${pods})`, 'egress repair')];
  }
  const all = `all as it should be for ${counted(pods.length, 'pod')}${node?.gateway ? ' and the gateway’s side' : ''}`;
  return orOk(few(objects.map((wrong) => fault(sentence(wrong), 'egress repair'))), all);
}

/** Rules and routes of others that come before ours. */
export const ways = ({ ways }: Facts): readonly Seen[] =>
  orOk(
    few(
      ways.map(({ of, what }) => {
        const [words = what, remedy = 'take it away'] = what.split('; ');
        return fault(sentence({ of, what: words }), remedy);
      }),
    ),
    'no rule or route of others decides for exits',
  );

const sentence = ({ of, what }: Wrong): string => `${of}: ${what}`;
