import { effectOf, type RulesetChange } from '../datapath/fast-path-changes.ts';
import { type FastPath, isMore } from '../datapath/fast-path-plan.ts';
import { listenToRulesets } from './netlink/notifications.ts';
import { isKernelError, NetlinkSocket, protocols, type Reply, type Request } from './netlink/socket.ts';
import { addToFastTable, deleteFastTable, makeFastTable } from './nftables/fast-table.ts';
import { changesIn } from './nftables/ruleset-changes.ts';
import { encodeBatch } from './nftables/transaction.ts';
import { type LinkChange, linkChangeIn, readLink } from './rtnetlink/link.ts';

/** The state of the fast path, as its process tells it. */
export interface FastPathStatus {
  readonly isOn: boolean;
  /** Why it is off, in words. */
  readonly why?: string;
  /** The kernel has none: no use to try again. */
  readonly isImpossible?: true;
  /** How often all connections were ended, since the process began. */
  readonly ended: number;
  /** How many orders were carried out since then. */
  readonly orders: number;
}

/** Milliseconds to the end of connections when somebody else's ruleset has changed: it may change all the time. */
const patience = 1_000;

/**
 * The fast path in the kernel: a table that goes with the socket here. Whatever is told of our ruleset and is not known to be harmless
 * takes the table away and makes it anew in one transaction: all connections are ended, and judged again by their next packets.
 */
export class LinuxFastPath implements Disposable {
  readonly #netfilter = new NetlinkSocket(protocols.netfilter);
  readonly #route = new NetlinkSocket(protocols.route);
  readonly #listening: Disposable;
  readonly #told: () => void;
  readonly #links = new Map<number, string>();
  #wanted: FastPath | undefined;
  /** What the table has; `undefined` without a table. */
  #made: FastPath | undefined;
  #changes: RulesetChange[] = [];
  #soon: NodeJS.Timeout | undefined;
  #due: 'anew' | 'more' | undefined;
  #isWorking = false;
  #orders = 0;
  #status: Omit<FastPathStatus, 'orders'> = { isOn: false, ended: 0 };
  #carriedOut = 0;

  constructor(told: () => void) {
    this.#told = told;
    this.#listening = listenToRulesets({
      rulesets: (messages, isLoss) => this.#hear(messages, isLoss),
      routing: (messages, isLoss) => this.#hearRouting(messages, isLoss),
    });
  }

  /** What there is to tell of it now. */
  get status(): FastPathStatus {
    return { ...this.#status, orders: this.#carriedOut };
  }

  /** What it shall be from now on. */
  want(wanted: FastPath | undefined): void {
    this.#wanted = wanted;
    this.#orders++;
    const isKept = wanted !== undefined && this.#made !== undefined && isMore(wanted, this.#made);
    this.#do(isKept ? 'more' : 'anew');
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#soon);
    this.#listening[Symbol.dispose]();
    this.#netfilter.close(); // the table goes with it
    this.#route.close();
  }

  #hear(messages: readonly Reply[], isLoss: boolean): void {
    if (isLoss) this.#do('anew');
    for (const message of messages) {
      const change = changesIn(message);
      if (change === 'end') this.#judge();
      else if (change !== undefined) this.#changes.push(change);
    }
  }

  #judge(): void {
    const effect = effectOf(this.#changes, this.#made ?? { devices: [], pods: [] });
    this.#changes = [];
    if (effect === 'end') this.#do('anew');
    else if (effect === 'soon') this.#soon ??= setTimeout(() => this.#do('anew'), patience);
  }

  /** The kernel ends what a route, an address or the end of an interface concerns. Of rules and of names it does not know. */
  #hearRouting(messages: readonly Reply[], isLoss: boolean): void {
    if (isLoss) this.#do('anew');
    for (const message of messages) {
      const change = linkChangeIn(message);
      if (change === undefined) this.#do('anew');
      else this.#hearLink(change);
    }
  }

  #hearLink({ link: { index, name }, isGone }: LinkChange): void {
    const known = this.#links.get(index);
    const isWanted = this.#wanted?.devices.includes(name) === true;
    if (isGone || (known !== undefined && known !== name)) this.#links.delete(index);
    if (known !== undefined && known !== name) this.#do('anew');
    else if (isWanted && (isGone || known === undefined)) this.#do('anew');
  }

  /** One change at a time; each goes by what is wanted when it begins. */
  #do(what: 'anew' | 'more'): void {
    if (this.#due !== 'anew') this.#due = what;
    if (!this.#isWorking) void this.#work();
  }

  async #work(): Promise<void> {
    this.#isWorking = true;
    while (this.#due !== undefined) {
      const isAnew = this.#due === 'anew';
      this.#due = undefined;
      if (isAnew) await this.#makeAnew();
      else await this.#add();
    }
    this.#isWorking = false;
    this.#carriedOut = this.#orders;
    this.#told();
  }

  /** Ends all connections. */
  async #makeAnew(): Promise<void> {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    const [made, wanted] = [this.#made, this.#wanted];
    if (made === undefined && wanted === undefined) {
      this.#status = { isOn: false, ended: this.#status.ended };
      return;
    }
    const ended = this.#status.ended + (made === undefined ? 0 : 1);
    const first = made === undefined ? [] : deleteFastTable(made);
    try {
      await this.#send(wanted ? [...first, ...makeFastTable(wanted)] : first);
      await this.#isNow(wanted, ended);
    } catch {
      await this.#makeOfPresent(wanted, ended);
    }
  }

  /** An interface may be gone, and the kernel refuses all. Nothing goes on meanwhile: the table goes first, alone. */
  async #makeOfPresent(wanted: FastPath | undefined, ended: number): Promise<void> {
    if (this.#made !== undefined) await this.#send(deleteFastTable(this.#made)).catch(() => {});
    this.#made = undefined;
    const next = wanted && { ...wanted, devices: await this.#present(wanted.devices) };
    try {
      await this.#send(next ? makeFastTable(next) : []);
      await this.#isNow(next, ended);
    } catch (error) {
      const present = await this.#present(next?.devices ?? []);
      const isImpossible = present.length === next?.devices.length && isKernelError(error, ...unknown); // else one has just gone
      const why = isImpossible ? noFlowtables : error instanceof Error ? error.message : String(error);
      this.#status = { isOn: false, why, ended, ...(isImpossible && { isImpossible }) };
    }
  }

  async #add(): Promise<void> {
    const [wanted, made] = [this.#wanted, this.#made];
    if (wanted === undefined || made === undefined) return await this.#makeAnew();
    const requests = addToFastTable(wanted, made);
    if (requests.length === 0) return;
    try {
      await this.#send(requests);
      await this.#isNow(wanted, this.#status.ended);
    } catch {
      await this.#makeAnew();
    }
  }

  async #isNow(made: FastPath | undefined, ended: number): Promise<void> {
    this.#made = made;
    this.#status = { isOn: made !== undefined, ended };
    const known = new Set(this.#links.values());
    await this.#present((made?.devices ?? []).filter((device) => !known.has(device)));
  }

  /** The interfaces that are there. */
  async #present(devices: readonly string[]): Promise<readonly string[]> {
    const present: string[] = [];
    for (const device of devices) {
      const link = await readLink(this.#route, device);
      if (link === undefined) continue;
      this.#links.set(link.index, device);
      present.push(device);
    }
    return present;
  }

  async #send(requests: readonly Request[]): Promise<void> {
    if (requests.length > 0) await this.#netfilter.batch(encodeBatch(requests));
  }
}

/** What kernels say that lack a part. */
const unknown = ['ENOENT', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'EPROTONOSUPPORT'];
const noFlowtables = 'this kernel has no flowtables, or no tables with an owner (Linux 5.12)';
