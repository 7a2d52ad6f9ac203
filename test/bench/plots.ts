import type { Figures } from './figures.ts';
import { agentFigures, failoverFigures } from './plots-agent.ts';
import { addFigures, startFigures } from './plots-calls.ts';
import { trafficFigures } from './plots-traffic.ts';
import type { PartResult } from './result.ts';

/** The plots that these results are enough for, in the order of README.md. */
export function plotsOf(results: readonly PartResult[]): readonly Figures[] {
  const part = (name: string) => results.find((result) => result.part === name);
  const [start, add, failover, agent] = [part('start'), part('add'), part('failover'), part('agent')];
  const traffic = [part('throughput'), part('tunnel')].filter((result) => result !== undefined);
  return [
    ...(start === undefined ? [] : [startFigures(start)]),
    ...(add === undefined ? [] : [addFigures(add)]),
    ...(traffic.length === 0 ? [] : [trafficFigures(traffic)]),
    ...(failover === undefined ? [] : [failoverFigures(failover)]),
    ...(agent === undefined ? [] : [agentFigures(agent)]),
  ];
}
