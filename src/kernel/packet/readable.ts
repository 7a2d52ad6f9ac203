import { closeSync } from 'node:fs';
import { arch } from 'node:os';
import { call, callLater } from '../native/calls.ts';
import { systemError } from '../netlink/libc.ts';

// epoll(7), which Node has for its own descriptors alone.

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
/** sys/epoll.h: struct epoll_event is packed on x86-64 alone. */
const event = arch() === 'x64' ? { size: 12, data: 4 } : { size: 16, data: 8 };
/** Sockets that one wait tells of. */
const most = 32;
/** Milliseconds until a wait looks whether it is wanted still. */
const patience = 500;

/**
 * Sockets that a process listens to without waiting in them: one thread of Node's pool sleeps in epoll_wait(2) for all.
 * Keeps the event loop alive while there is a socket, and for half a second more.
 */
export class ReadableSockets implements Disposable {
  readonly #callbacks = new Map<number, () => void>();
  #epoll: number | undefined;
  #isClosed = false;

  /** Calls back, until disposed of, while there is something to read; it is to be read without waiting. Throws an Error with `code`. */
  add(fd: number, readable: () => void): Disposable {
    const isFirst = this.#epoll === undefined;
    this.#epoll ??= this.#open();
    const interest = Buffer.alloc(event.size);
    interest.writeUInt32LE(EPOLLIN);
    interest.writeInt32LE(fd, event.data);
    if (call('epoll_ctl', this.#epoll, EPOLL_CTL_ADD, fd, interest) !== 0) throw systemError('epoll_ctl');
    this.#callbacks.set(fd, readable);
    if (isFirst) this.#wait(this.#epoll);
    return { [Symbol.dispose]: () => this.#remove(fd) };
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
  }

  #open(): number {
    const fd = call('epoll_create1', EPOLL_CLOEXEC);
    if (fd < 0) throw systemError('epoll_create1');
    return fd;
  }

  #remove(fd: number): void {
    this.#callbacks.delete(fd);
    if (this.#epoll !== undefined) call('epoll_ctl', this.#epoll, EPOLL_CTL_DEL, fd, Buffer.alloc(event.size));
  }

  #wait(epoll: number): void {
    const events = Buffer.alloc(most * event.size);
    callLater(
      'epoll_pwait',
      (count) => {
        this.#tell(events, count);
        if (!this.#isClosed && this.#callbacks.size > 0) return this.#wait(epoll);
        this.#epoll = undefined;
        closeSync(epoll);
      },
      epoll,
      events,
      most,
      patience,
      null,
    );
  }

  #tell(events: Buffer, count: number): void {
    for (let i = 0; i < count; i++) this.#callbacks.get(events.readInt32LE(i * event.size + event.data))?.();
  }
}
