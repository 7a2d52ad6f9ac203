import type { Address, Family } from '../base/address.ts';

/** What a router says in a packet of VRRP version 3 (RFC 9568, 5.2). */
export interface Advertisement {
  /** Virtual Rtr ID, 1…255. */
  readonly vrid: number;
  /** 0: the Active Router steps down; 255: it owns the addresses; else 1…254. */
  readonly priority: number;
  /** Max Advertise Interval in centiseconds, 1…4095. */
  readonly interval: number;
  /** The addresses of the Virtual Router, at least one; of IPv6 a link-local one comes first. */
  readonly addresses: readonly Address[];
}

/** An advertisement that came in. */
export interface HeardAdvertisement extends Advertisement {
  readonly family: Family;
  /** The sender's address on the segment: its primary one, of IPv6 the link-local one. */
  readonly source: Address;
}

/**
 * Why a packet of protocol 112 is no advertisement for us: `length` and `addresses` of what it says of itself, `ttl` of
 * one that a router has passed on, `version` and `type` of other protocols of that number, `checksum` of a broken one,
 * `interval` of one without a time, `foreign` of a router that has our number and none of our addresses.
 */
export type BadReason = 'length' | 'ttl' | 'version' | 'type' | 'checksum' | 'interval' | 'addresses' | 'foreign';

/** All reasons, in the order in which a packet is judged. */
export const badReasons: readonly BadReason[] = [
  'length',
  'ttl',
  'version',
  'type',
  'checksum',
  'interval',
  'addresses',
  'foreign',
];
