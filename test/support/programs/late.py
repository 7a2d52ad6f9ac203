"""late.py PORT: answers every UDP packet on the port with the address and port that it came from, and on SIGUSR1 all of
them once more: late, when nobody may listen any more. Says "ready", and "again" with the number of late answers."""

import signal
import socket
import struct
import sys

# Missing in Python: lets answers come from addresses that only a local route, no device, makes ours.
IPV6_FREEBIND = 78

asked = []


def answer(peer, control):
    s.sendmsg([f"{peer[0].removeprefix('::ffff:')} {peer[1]}\n".encode()], [control], 0, peer)


def again(*_):
    for peer, control in asked:
        answer(peer, control)
    print("again", len(asked), flush=True)


s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
s.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
s.bind(("::", int(sys.argv[1])))
signal.signal(signal.SIGUSR1, again)
print("ready", flush=True)
while True:
    _, controls, _, peer = s.recvmsg(2048, 256)
    # The answer must come from the address that was asked, which may be any of a whole prefix.
    to = [data[:16] for level, kind, data in controls if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)]
    asked.append((peer, (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, to[0] + struct.pack("I", 0))))
    answer(*asked[-1])
