"""crafted.py sctp|reply ADDRESS [PORT]: sends one packet that no socket of this machine would send: `sctp` begins a
connection of SCTP to the port, which not every kernel has, and `reply` is an echo reply of ICMP that nobody asked for,
which connection tracking calls invalid."""

import socket
import struct
import sys


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def sctp():
    # INIT (RFC 9260, 3.3.2) with its tag, window, streams and first number.
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 7, 65536, 1, 1, 1)
    head = struct.pack("!HHI", 40000, int(sys.argv[3]), 0)
    return head + struct.pack("<I", crc32c(head + bytes(4) + chunk)) + chunk


def reply():
    # The checksum of IPv6 is the kernel's task.
    return struct.pack("!BBHHH", 129, 0, 0, 7, 0) if six else struct.pack("!BBHHH", 0, 0, 0xFFF8, 7, 0)


kind, address = sys.argv[1:3]
six = ":" in address
family = socket.AF_INET6 if six else socket.AF_INET
icmp = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
protocol, packet = {"sctp": (socket.IPPROTO_SCTP, sctp), "reply": (icmp, reply)}[kind]
with socket.socket(family, socket.SOCK_RAW, protocol) as s:
    s.sendto(packet(), (address, 0))
