"""ask.py tcp|udp|icmp ADDRESS [PORT [BYTES [SOURCE-PORT]]]: asks once and prints the answer; ends with 1 when there is none. The
first packet is the only one: nothing is repeated but what TCP itself repeats. BYTES is how long a question by UDP is."""

import os
import socket
import struct
import sys

SECONDS = 2


def connected(family, kind, address, port):
    s = socket.socket(family, kind)
    s.settimeout(SECONDS)
    if family == socket.AF_INET6:
        # The same source port is free for IPv4, which somebody may ask by at the same time.
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind(("", source_port))
    s.connect((address, port))
    return s


def ask_tcp(family, address, port):
    with connected(family, socket.SOCK_STREAM, address, port) as s:
        return s.makefile().readline().strip()


def ask_udp(family, address, port):
    s = connected(family, socket.SOCK_DGRAM, address, port)
    s.send(b"?" * size)
    return s.recv(2048).decode().strip()


def ask_icmp(family, address, port):
    six = family == socket.AF_INET6
    s = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP)
    s.settimeout(SECONDS)
    s.connect((address, 0))
    request, reply = (128, 129) if six else (8, 0)
    body = struct.pack("!HH", os.getpid() & 0xFFFF, 1)
    # For IPv6 the kernel fills in the checksum.
    s.send(struct.pack("!BBH", request, 0, 0 if six else fold(request << 8, *struct.unpack("!HH", body))) + body)
    while True:
        packet = s.recv(2048)
        message = packet if six else packet[(packet[0] & 15) * 4 :]
        if message[0] == reply and message[4:8] == body:
            return "reply"


def fold(*words):
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


protocol, address = sys.argv[1:3]
port = int(sys.argv[3]) if len(sys.argv) > 3 else 0
size = int(sys.argv[4]) if len(sys.argv) > 4 else 1
source_port = int(sys.argv[5]) if len(sys.argv) > 5 else 0
family = socket.AF_INET6 if ":" in address else socket.AF_INET
try:
    print({"tcp": ask_tcp, "udp": ask_udp, "icmp": ask_icmp}[protocol](family, address, port))
except OSError as error:
    sys.exit(f"{protocol} {address}: {error}")
