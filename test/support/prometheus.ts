import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LabNode } from './node.ts';
import { tool } from './tools.ts';

const listen = '127.0.0.1:9090';

/** What Prometheus answers at its API when all is well. */
interface Answer<Data> {
  readonly status: string;
  readonly data: Data;
}

/** A rule as Prometheus has loaded it. */
export interface LoadedRule {
  readonly name: string;
  readonly health: string;
  readonly lastError?: string;
}

interface Groups {
  readonly groups: readonly { readonly rules: readonly LoadedRule[] }[];
}

/** Prometheus on a node of the lab; it ends with the lab. */
export class Prometheus {
  readonly #machine: LabNode['machine'];

  private constructor(machine: LabNode['machine']) {
    this.#machine = machine;
  }

  /** Starts it there, to read pages of metrics every two seconds, and to judge the rules of a file as often. */
  static async start(node: LabNode, targets: readonly string[], rules: string): Promise<Prometheus> {
    const folder = join(node.folder, 'prometheus');
    const configuration = `${folder}.yaml`;
    // JSON is YAML.
    await writeFile(
      configuration,
      JSON.stringify({
        global: { scrape_interval: '2s', evaluation_interval: '2s' },
        rule_files: [rules],
        scrape_configs: [{ job_name: 'cni-egress', static_configs: [{ targets }] }],
      }),
    );
    const options = [
      `--config.file=${configuration}`,
      `--storage.tsdb.path=${folder}`,
      `--web.listen-address=${listen}`,
    ];
    await node.machine.start([tool('prometheus'), ...options], 'Server is ready to receive web requests');
    return new Prometheus(node.machine);
  }

  /** Waits until a query finds so many series. */
  async found(query: string, series: number): Promise<void> {
    while ((await this.#counts([query]))[0] !== series) await sleep(500);
  }

  /** Those of queries that find nothing. Where the machine is busy a page may be missed now and then, so they are asked again. */
  async unanswered(queries: readonly string[]): Promise<readonly string[]> {
    let left = queries;
    for (let i = 0; i < 10 && left.length > 0; i++) {
      if (i > 0) await sleep(1000);
      const counts = await this.#counts(left);
      left = left.filter((_, place) => counts[place] === 0);
    }
    return left;
  }

  /** All rules, when each has been judged. */
  async rules(): Promise<readonly LoadedRule[]> {
    for (;;) {
      const [groups] = await this.#ask<Groups>(['rules']);
      const all = (groups?.groups ?? []).flatMap(({ rules }) => rules);
      if (all.length > 0 && all.every(({ health }) => health !== 'unknown')) return all;
      await sleep(500);
    }
  }

  /** How many series each query finds now. */
  async #counts(queries: readonly string[]): Promise<readonly number[]> {
    const paths = queries.map((query) => `query?${new URLSearchParams({ query })}`);
    return (await this.#ask<{ readonly result: readonly unknown[] }>(paths)).map(({ result }) => result.length);
  }

  /** What its API answers to several paths, in their order. */
  async #ask<Data>(paths: readonly string[]): Promise<readonly Data[]> {
    const program = `import sys, urllib.request as r; o = r.build_opener(r.ProxyHandler({}))
print("[" + ",".join(o.open(u).read().decode() for u in sys.argv[1:]) + "]")`;
    const urls = paths.map((path) => `http://${listen}/api/v1/${path}`);
    const answers = JSON.parse(
      await this.#machine.must(['python3', '-c', program, ...urls]),
    ) as readonly Answer<Data>[];
    return answers.map((answer) => {
      if (answer.status !== 'success') throw new Error(JSON.stringify(answer));
      return answer.data;
    });
  }
}
