"""stray.py ADDRESS...: sends packets that belong to no connection and that no connection tracking can make sense of: a
TCP RST, a TCP SYN+ACK, and a UDP packet with a wrong checksum. NAT never touches such packets."""

import socket
import struct
import sys

RST, SYN_ACK = 0x04, 0x12


def tcp(flags):
    return struct.pack("!HHIIBBHHH", 40000, 8080, 1, 1 if flags == SYN_ACK else 0, 0x50, flags, 1024, 0, 0)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def source_towards(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.connect((address, 9))
        return s.getsockname()[0]


def with_checksum(family, address, segment, protocol, error=0):
    ends = socket.inet_pton(family, source_towards(family, address)) + socket.inet_pton(family, address)
    offset = 16 if protocol == socket.IPPROTO_TCP else 6
    value = checksum(ends + struct.pack("!HH", protocol, len(segment)) + segment) ^ error
    return segment[:offset] + struct.pack("!H", value) + segment[offset + 2 :]


def send(family, address, protocol, segment):
    with socket.socket(family, socket.SOCK_RAW, protocol) as s:
        s.sendto(segment, (address, 0))


for address in sys.argv[1:]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for flags in (RST, SYN_ACK):
        send(family, address, socket.IPPROTO_TCP, with_checksum(family, address, tcp(flags), socket.IPPROTO_TCP))
    udp = struct.pack("!HHHH", 40000, 9, 8, 0)
    send(family, address, socket.IPPROTO_UDP, with_checksum(family, address, udp, socket.IPPROTO_UDP, error=0x5555))
