import { filterText } from '../datapath/filter.ts';
import { tableName } from '../nftables/object.ts';
import type { Stop } from '../report/follow/followed.ts';
import { foretoldOf } from '../report/follow/foretold.ts';
import type { Scene, Told } from './trace.ts';

/** A packet's way, stop by stop, with what explain foretold beside it; and one sentence. */
export function printFollowed({ followed, direction, sentence, foretold }: Told, scene: Scene): string {
  const { first, stops } = followed;
  const head = `${direction === 'packet' ? 'Packet' : 'Answer'} ${first ? `${first.source} → ${first.destination}` : ''}`;
  const rows = stops.flatMap((stop, i) => (isNothing(stop) ? [] : [row(stop, stops[i - 1], scene)]));
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0), 0));
  const lines = rows.map(
    (cells) =>
      `  ${cells
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd()}\n`,
  );
  return `${head.trimEnd()}\n${lines.join('')}${sentence}.${foretold ? ` ${foretold}.` : ''}\n\n`;
}

/** The end of a chain that somebody jumped to: the packet goes on behind the jump. */
const isNothing = ({ rule, verdict }: Stop): boolean => rule === undefined && verdict?.code === 'continue';

/** Names of programs are long, and a begin of them tells them apart. */
const short = (text: string): string => text.replace(/\b(program-[0-9a-f]{8})[0-9a-f]+/g, '$1…');

function row(stop: Stop, before: Stop | undefined, scene: Scene): readonly string[] {
  const { hook, priority, mark } = stop;
  const changed = before !== undefined && before.mark !== mark ? ` (mark 0x${mark.toString(16)})` : '';
  const foretold = foretoldOf(stop, scene.explanation) ? 'foretold' : '';
  const shown = priority > 10_000 ? 'last' : String(priority);
  return [`${hook} ${shown}`, short(chainText(stop)), short(`${what(stop, scene)}${changed}`), foretold];
}

const chainText = (stop: Stop): string => (stop.table === tableName ? stop.chain : filterText(stop));

/** `rule 3: ip saddr vmap @pods4 → goto program-…`; `policy accept`. */
function what({ rule, chain, table, verdict }: Stop, { texts }: Scene): string {
  const to = verdict ? `${verdict.code}${verdict.chain ? ` ${verdict.chain}` : ''}` : '';
  if (rule === undefined) return `end of the chain: ${to}`;
  const text = table === tableName ? texts.get(chain)?.[rule.place - 1] : undefined;
  const name = text ? `rule ${rule.place}: ${text}` : `rule ${rule.place} (handle ${rule.handle})`;
  return to === '' || to === 'continue' ? name : `${name} → ${to}`;
}
