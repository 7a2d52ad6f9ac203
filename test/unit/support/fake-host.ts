import assert from 'node:assert/strict';
import type { Address } from '../../../src/base/address.ts';
import type { NodeState, SteeredAttachment } from '../../../src/datapath/attachment.ts';
import type { Change } from '../../../src/datapath/difference.ts';
import type { Counters, Host, LinkAddress, Observed } from '../../../src/datapath/host.ts';
import { addressHex } from '../../../src/datapath/layout.ts';
import type { HostObject, Link, PolicyRule } from '../../../src/datapath/objects.ts';
import { planOf } from '../../../src/datapath/operations.ts';
import type { OurState } from '../../../src/datapath/release.ts';
import type { Element } from '../../../src/nftables/object.ts';
import { FakeKernel } from './fake-kernel.ts';

/** A node in memory. What a test may change is a field; what a test wants to know was written down in another. */
export class FakeHost implements Host, Disposable {
  readonly kernel = new FakeKernel();
  readonly links = new Map<string, Link>();
  /** By the name of the interface. */
  readonly linkAddresses = new Map<string, readonly LinkAddress[]>();
  readonly foreignRules: PolicyRule[] = [];
  /** Addresses that the node reaches through another host. */
  readonly remote = new Set<Address>();
  counters: Counters | undefined;
  /** Next hops, by address, in the kernel's words. */
  readonly neighbours = new Map<Address, string>();

  /** How many times somebody else will change the ruleset between a look and a change. */
  interferences = 0;
  /** Whether the kernel can count behind neighbour resolution. */
  egressHook = true;
  /** How often it was asked for that. */
  egressHookQuestions = 0;
  /** What the kernel will answer to transactions. */
  refusal: Error | undefined;

  /** All changes that were carried out. */
  readonly applied: Change[] = [];
  readonly forgottenFlows: Address[] = [];
  readonly setDownLinks: string[] = [];

  [Symbol.dispose](): void {}

  async readLink(name: string): Promise<Link | undefined> {
    return this.links.get(name);
  }

  async listAddresses({ name }: Link): Promise<readonly LinkAddress[]> {
    return this.linkAddresses.get(name) ?? [];
  }

  async isOnLink(address: Address): Promise<boolean> {
    return !this.remote.has(address);
  }

  async listForeignRules(): Promise<readonly PolicyRule[]> {
    return this.foreignRules;
  }

  readSysctl(name: string): string | undefined {
    return this.kernel.sysctls.get(name);
  }

  async observe(
    node: NodeState,
    attachment: SteeredAttachment,
    { contents }: { contents: boolean },
  ): Promise<Observed<HostObject[]>> {
    return { state: this.kernel.observe(node, attachment, contents), generation: this.kernel.generation };
  }

  async observeOurs(tables: readonly number[]): Promise<Observed<OurState>> {
    return { state: this.kernel.ourState(tables), generation: this.kernel.generation };
  }

  async readCounters(): Promise<Counters> {
    assert.ok(this.counters, 'nobody was expected to read the counters');
    return this.counters;
  }

  async readNeighbour(_device: string, address: Address): Promise<string | undefined> {
    return this.neighbours.get(address);
  }

  async findElements(mark: string, addresses?: readonly Address[]): Promise<readonly Element[]> {
    const keys = addresses?.map(addressHex);
    return this.kernel
      .podElements()
      .filter(({ key, comment = '' }) => comment.startsWith(mark) && (keys?.includes(key) ?? true));
  }

  async hasTable(): Promise<boolean> {
    return this.kernel.hasTable;
  }

  async hasEgressHook(): Promise<boolean> {
    this.egressHookQuestions++;
    return this.egressHook;
  }

  async apply(changes: readonly Change[], generation: number): Promise<boolean> {
    if (this.interferences > 0) {
      this.interferences--;
      this.kernel.generation++;
    }
    const { before, transaction } = planOf(changes);
    if (transaction.length > 0 && generation !== this.kernel.generation) {
      this.kernel.setUpOutside(before);
      return false;
    }
    if (transaction.length > 0 && this.refusal !== undefined) {
      this.kernel.setUpOutside(before);
      throw this.refusal;
    }
    this.kernel.apply(changes);
    this.applied.push(...changes);
    return true;
  }

  async setDown(links: readonly { readonly name: string; readonly index: number }[]): Promise<void> {
    this.setDownLinks.push(
      ...links.filter(({ name, index }) => this.links.get(name)?.index === index).map((l) => l.name),
    );
  }

  async deleteFlows(address: Address): Promise<void> {
    this.forgottenFlows.push(address);
  }
}
