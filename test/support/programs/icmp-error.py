"""icmp-error.py SOURCE SPORT DESTINATION DPORT: tells SOURCE in ICMP that its UDP packet to DESTINATION was not taken, whoever
DESTINATION is."""

import socket
import struct
import sys


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


source, sport, destination, dport = sys.argv[1:5]
six = ":" in source
family = socket.AF_INET6 if six else socket.AF_INET
ends = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
datagram = struct.pack("!HHHH", int(sport), int(dport), 12, 0) + b"told"
if six:
    inside = struct.pack("!IHBB", 6 << 28, len(datagram), socket.IPPROTO_UDP, 63) + ends + datagram
    error = struct.pack("!BBHI", 1, 4, 0, 0) + inside  # the checksum of IPv6 is the kernel's task
else:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 32, 1, 0, 63, socket.IPPROTO_UDP, 0) + ends
    error = struct.pack("!BBHI", 3, 3, 0, 0) + head[:10] + checksum(head) + head[12:] + datagram
    error = error[:2] + checksum(error) + error[4:]
with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP) as s:
    s.sendto(error, (source, 0))
