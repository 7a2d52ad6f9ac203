"""send-each.py PROTOCOL/ADDRESS/PORT...: sends one packet to each at once, a TCP SYN, a UDP datagram or a ping (whose
port means nothing), and ends when all are answered in any way, or after a while. What the answers say is not looked at."""

import selectors
import socket
import struct
import sys
import time

SECONDS = 0.8


def fold(*words):
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def sent(protocol, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    six = family == socket.AF_INET6
    if protocol == "icmp":
        s = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP)
    else:
        s = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    s.setblocking(False)
    try:
        s.connect((address, port if protocol != "icmp" else 0))
    except BlockingIOError:
        pass
    if protocol == "udp":
        s.send(b"?")
    elif protocol == "icmp":
        kind = 128 if six else 8
        checksum = 0 if six else fold(kind << 8, 1, 1)
        s.send(struct.pack("!BBHHH", kind, 0, checksum, 1, 1))
    return s


waiting = selectors.DefaultSelector()
for word in sys.argv[1:]:
    protocol, address, port = word.split("/")
    try:
        s = sent(protocol, address, int(port))
    except OSError:
        continue  # the pod cannot send it, or was told so at once
    waiting.register(s, selectors.EVENT_WRITE if protocol == "tcp" else selectors.EVENT_READ)
end = time.monotonic() + SECONDS
while waiting.get_map() and time.monotonic() < end:
    for key, _ in waiting.select(end - time.monotonic()):
        waiting.unregister(key.fileobj)
