import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { readFile } from '../../../cmd/machine.ts';
import { Agent, type AgentPlaces, type AgentSurroundings, type Seen } from '../../../src/agent/agent.ts';
import type { FakeMachine } from './fake-machine.ts';

const exit = { name: 'partners', id: 7, interface: 'eth1', nextHop: '192.168.0.1', addresses: ['192.168.0.245'] };
const other = { name: 'backup', id: 300, interface: 'eth2', addresses: ['172.19.0.5', 'fd00:19::5'] };
const own = { name: 'partners', namespaces: ['default'], destinations: ['203.0.113.0/24'], exit: 'partners' };

/** The policy file of the tests: that of `configuration()`, with changes. */
export const policyText = (changes: object = {}): string =>
  JSON.stringify({ exits: [exit, other], policies: [own], ...changes });

/** Other policies: the same pods leave by another exit. */
export const otherPolicies = { policies: [{ ...own, exit: 'backup' }] };

/** A machine in memory with folders that an agent reads, and what that agent said. */
export class AgentNode {
  readonly machine: FakeMachine;
  readonly #folder = mkdtempSync(join(tmpdir(), 'egress-agent-'));
  readonly said: string[] = [];
  readonly reported: string[] = [];
  readonly seen: Seen[] = [];
  readonly read: string[] = [];
  /** Milliseconds of the agent's clock. */
  now = 0;
  missingRights: readonly string[] = [];

  constructor(t: TestContext, machine: FakeMachine) {
    this.machine = machine;
    for (const folder of ['net.d', 'results']) mkdirSync(this.at(folder));
    t.after(() => rmSync(this.#folder, { recursive: true }));
  }

  readonly at = (path: string): string => join(this.#folder, path);

  get places(): AgentPlaces {
    return { confDir: this.at('net.d'), resultsDir: this.at('results'), dataDir: this.machine.dataDir };
  }

  get surroundings(): AgentSurroundings {
    const say = (fields: object, message: string) => this.said.push(`${message} ${JSON.stringify(fields)}`);
    return {
      readFile: (path, longest) => {
        this.read.push(path);
        return readFile(path, longest);
      },
      openMachine: async () => this.machine,
      log: { debug: () => {}, info: say, warn: say },
      report: (error, consequence) => this.reported.push(`${(error as Error).message}. ${consequence}`),
      findMissingRights: () => this.missingRights,
      now: () => this.now,
      observe: async (seen) => {
        this.seen.push(seen);
      },
    };
  }

  agent(more: Partial<AgentPlaces> = {}): Agent {
    return new Agent({ ...this.places, ...more }, this.surroundings);
  }

  /** The chain of a network, with egress in it, which names the policy file. */
  chain(changes: object = {}, network = 'pods'): void {
    const egress = { type: 'egress', policyFile: this.at('policy.json'), dataDir: this.machine.dataDir, ...changes };
    const list = { cniVersion: '1.0.0', name: network, plugins: [{ type: 'bridge' }, egress] };
    writeFileSync(this.at(`net.d/${network}.conflist`), JSON.stringify(list));
  }

  /** The chain of a network without egress. */
  plainChain(network = 'pods'): void {
    const list = { cniVersion: '1.0.0', name: network, plugins: [{ type: 'bridge' }] };
    writeFileSync(this.at(`net.d/${network}.conflist`), JSON.stringify(list));
  }

  policy(text: string = policyText()): void {
    writeFileSync(this.at('policy.json'), text);
  }

  /** What libcni remembers of a pod that runs. */
  runs(containerId: string, address: string, host: string): void {
    const cached = {
      ...{ kind: 'cniCacheV1', containerId, ifName: 'eth0', networkName: 'pods' },
      cniArgs: [
        ['K8S_POD_NAMESPACE', 'default'],
        ['K8S_POD_NAME', `pod-${containerId}`],
      ],
      result: {
        interfaces: [{ name: host }, { name: 'eth0', sandbox: '/x' }],
        ips: [{ address: `${address}/24`, interface: 1 }],
      },
    };
    writeFileSync(this.at(`results/pods-${containerId}-eth0`), JSON.stringify(cached));
  }
}
