import { closeSync } from 'node:fs';
import type { Address } from '../../base/address.ts';
import type { Link, Mac } from '../../datapath/objects.ts';
import { question } from '../packet/question.ts';
import { openListener, sendFrames } from '../packet/socket.ts';
import { limitWait, receive } from './libc.ts';
import { answerType, claimIn, isFrom } from './question.ts';

/** Milliseconds for the answers, and how often is asked in them: a first question may get lost. */
const patience = 600;
const rounds = 2;

/** The MAC addresses of others that say they have one of the addresses, by the address. */
export function whoHas(link: Link & { readonly mac: Mac }, addresses: readonly Address[]): Map<Address, Mac[]> {
  const claims = new Map<Address, Set<Mac>>(addresses.map((address) => [address, new Set()]));
  const types = [...new Set(addresses.map(answerType))];
  const sockets = types.map((type) => openListener(link.index, type, { frames: true }));
  try {
    for (let round = 0; round < rounds; round++) {
      sendFrames(
        link.index,
        addresses.map((address) => question({ mac: link.mac }, address)),
      );
      collect(sockets, link.mac, claims);
    }
  } finally {
    sockets.forEach(closeSync);
  }
  return new Map([...claims].map(([address, macs]) => [address, [...macs].sort()]));
}

/** Takes what comes until nothing has come for a while. Each socket has its share of the time. */
function collect(sockets: readonly number[], own: Mac, claims: ReadonlyMap<Address, Set<Mac>>): void {
  const share = patience / rounds / sockets.length;
  for (const fd of sockets) {
    const end = performance.now() + share;
    for (let left = share; left > 0; left = end - performance.now()) {
      limitWait(fd, Math.max(1, Math.ceil(left)));
      const frame = receive(fd);
      const claim = frame === undefined || isFrom(frame, own) ? undefined : claimIn(frame);
      if (claim) claims.get(claim.address)?.add(claim.mac);
    }
  }
}
