import { type Address, addressBytes } from '../base/address.ts';

/** A virtual router's settings on this node (RFC 9568, 6.1). Accept_Mode has no say here: the kernel answers pings of the addresses. */
export interface VirtualRouter {
  /** 1…254; 255 begins as Active at once. */
  readonly priority: number;
  /** This node's primary address on the segment, by which equal priorities are told apart. */
  readonly address: Address;
  /** Advertisement_Interval in centiseconds, 1…4095. */
  readonly interval: number;
  /** Preempt_Mode. */
  readonly preempt: boolean;
}

/** Times are milliseconds of a clock that does not go back. */
export type VrrpState =
  | { readonly name: 'initialize' }
  /** @property downAt when the Active_Down_Timer fires; @property activeInterval Active_Adver_Interval in centiseconds */
  | { readonly name: 'backup'; readonly downAt: number; readonly activeInterval: number }
  /** @property advertiseAt when the Adver_Timer fires */
  | { readonly name: 'active'; readonly advertiseAt: number };

/** What may happen to a router. `timer`: the time of the state has come. */
export type VrrpEvent =
  | { readonly name: 'startup' }
  | { readonly name: 'shutdown' }
  | { readonly name: 'timer' }
  | {
      readonly name: 'advertisement';
      readonly priority: number;
      /** Centiseconds. */
      readonly interval: number;
      readonly source: Address;
    };

/** `take`: put the addresses on the interface and announce them; `release`: take them away. */
export type VrrpAction =
  | { readonly name: 'advertise'; readonly priority: number }
  | { readonly name: 'take' }
  | { readonly name: 'release' };

/** What comes of an event. */
export interface VrrpStep {
  readonly state: VrrpState;
  /** In their order. */
  readonly actions: readonly VrrpAction[];
}

/** Where a router begins. */
export const initialize: VrrpState = { name: 'initialize' };

const centisecond = 10;

/** Skew_Time in milliseconds: the lower the priority, the longer a router waits for others to be first. */
export const skewTime = (priority: number, activeInterval: number): number =>
  ((256 - priority) * activeInterval * centisecond) / 256;

/** Active_Down_Interval in milliseconds: three advertisements that did not come, and the skew. */
export const downInterval = (priority: number, activeInterval: number): number =>
  3 * activeInterval * centisecond + skewTime(priority, activeInterval);

/** RFC 9568, 6.4: what a router does at an event, and is from then on. Pure: time is told. */
export function vrrpStep(router: VirtualRouter, state: VrrpState, event: VrrpEvent, now: number): VrrpStep {
  if (state.name === 'initialize') return event.name === 'startup' ? begin(router, now) : stay(state);
  if (event.name === 'startup') return stay(state);
  return state.name === 'backup' ? inBackup(router, state, event, now) : inActive(router, state, event, now);
}

const stay = (state: VrrpState): VrrpStep => ({ state, actions: [] });

/** 6.4.1. */
const begin = (router: VirtualRouter, now: number): VrrpStep =>
  router.priority === 255 ? becomeActive(router, now) : stay(backup(router, router.interval, now));

const backup = ({ priority }: VirtualRouter, activeInterval: number, now: number): VrrpState => ({
  name: 'backup',
  downAt: now + downInterval(priority, activeInterval),
  activeInterval,
});

/** The addresses come before the advertisement: who steps down for it takes them away. */
const becomeActive = (router: VirtualRouter, now: number): VrrpStep => ({
  state: active(router, now),
  actions: [{ name: 'take' }, { name: 'advertise', priority: router.priority }],
});

const active = ({ interval }: VirtualRouter, now: number): VrrpState => ({
  name: 'active',
  advertiseAt: now + interval * centisecond,
});

type State<N extends VrrpState['name']> = VrrpState & { readonly name: N };
type Event = Exclude<VrrpEvent, { readonly name: 'startup' }>;
type Heard = Extract<VrrpEvent, { readonly name: 'advertisement' }>;

/** 6.4.2. */
function inBackup(router: VirtualRouter, state: State<'backup'>, event: Event, now: number): VrrpStep {
  if (event.name === 'shutdown') return stay(initialize);
  if (event.name === 'timer') return now >= state.downAt ? becomeActive(router, now) : stay(state);
  if (event.priority === 0) return stay({ ...state, downAt: now + skewTime(router.priority, state.activeInterval) });
  if (router.preempt && event.priority < router.priority) return stay(state);
  return stay(backup(router, event.interval, now));
}

/** 6.4.3. */
function inActive(router: VirtualRouter, state: State<'active'>, event: Event, now: number): VrrpStep {
  if (event.name === 'shutdown')
    return { state: initialize, actions: [{ name: 'advertise', priority: 0 }, { name: 'release' }] };
  if (event.name === 'timer') return now >= state.advertiseAt ? advertise(router, now) : stay(state);
  if (event.priority === 0) return advertise(router, now);
  if (isStronger(event, router)) return { state: backup(router, event.interval, now), actions: [{ name: 'release' }] };
  return { state, actions: [{ name: 'advertise', priority: router.priority }] };
}

const advertise = (router: VirtualRouter, now: number): VrrpStep => ({
  state: active(router, now),
  actions: [{ name: 'advertise', priority: router.priority }],
});

/** Of equal priorities the higher address wins, compared as a number. */
function isStronger({ priority, source }: Heard, router: VirtualRouter): boolean {
  if (priority !== router.priority) return priority > router.priority;
  return Buffer.compare(addressBytes(source), addressBytes(router.address)) > 0;
}

/** When the state has to be told `timer`; `undefined`: it waits for nothing. */
export function nextTime(state: VrrpState): number | undefined {
  if (state.name === 'initialize') return undefined;
  return state.name === 'backup' ? state.downAt : state.advertiseAt;
}
