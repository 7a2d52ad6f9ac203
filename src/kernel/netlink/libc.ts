import { readdirSync } from 'node:fs';
import koffi from 'koffi';

/**
 * The calls of the C library that neither Node nor the package `netlink` has. `setsockopt`: the package's sockets
 * cannot switch on extended acknowledgements and strict checking. `flock`: a lock that the kernel releases when its
 * holder dies. Bound on first use: koffi's addon costs a millisecond that VERSION need not pay.
 */
let bound: ReturnType<typeof bind> | undefined;

function bind() {
  const libc = koffi.load(null);
  return {
    setsockopt: libc.func('int setsockopt(int fd, int level, int name, const void *value, unsigned int length)'),
    getsockname: libc.func('int getsockname(int fd, void *address, void *length)'),
    flock: libc.func('int flock(int fd, int operation)'),
  };
}

const calls = () => {
  bound ??= bind();
  return bound;
};

/** setsockopt(2) with an int. Returns whether it succeeded: old kernels lack some options. */
export function setSocketOption(fd: number, level: number, name: number, value: number): boolean {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return calls().setsockopt(fd, level, name, bytes, bytes.length) === 0;
}

const AF_NETLINK = 16;

/** The descriptor of this process's netlink socket with a port number, which the package `netlink` does not tell. */
export function descriptorOfPort(port: number): number {
  // From the highest down: the socket that is asked for was opened last.
  const descriptors = readdirSync('/proc/self/fd')
    .map(Number)
    .sort((a, b) => b - a);
  const found = descriptors.find((fd) => portOf(fd) === port);
  if (found === undefined) throw new Error(`No descriptor for netlink port ${port}`);
  return found;
}

/** getsockname(2) of a netlink socket; undefined for any other descriptor. */
function portOf(fd: number): number | undefined {
  const address = Buffer.alloc(12); // struct sockaddr_nl: family, pad, pid, groups
  const length = Buffer.alloc(4);
  length.writeUInt32LE(address.length);
  const known = calls().getsockname(fd, address, length) === 0;
  return known && address.readUInt16LE(0) === AF_NETLINK ? address.readUInt32LE(4) : undefined;
}

const LOCK_EX = 2;

/** flock(2) for writing: waits until nobody else holds the file. Released by close(2), and so by the holder's death. */
export function lockFile(fd: number): void {
  while (calls().flock(fd, LOCK_EX) !== 0) {
    // Only EINTR can bring us here: the descriptor is good, and waiting is what we want.
  }
}
