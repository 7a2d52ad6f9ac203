"""forged.py GATEWAY SOURCE SPORT DESTINATION DPORT [TAGS]: sends one UDP packet of any source to the MAC address of the gateway,
past the routing of this machine, behind so many tags of VLAN 0."""

import socket
import struct
import sys
import time


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def hardware(gateway):
    """Whoever asks the gateway something knows its MAC address then."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"", (gateway, 9))
    for _ in range(500):
        for line in open("/proc/net/arp"):
            address, _, flags, mac = line.split()[:4]
            if address == gateway and flags == "0x2":
                return bytes.fromhex(mac.replace(":", ""))
        time.sleep(0.01)
    sys.exit(f"{gateway} does not answer")


gateway, source, sport, destination, dport = sys.argv[1:6]
six = ":" in source
family = socket.AF_INET6 if six else socket.AF_INET
ends = socket.inet_pton(family, source) + socket.inet_pton(family, destination)
datagram = struct.pack("!HHHH", int(sport), int(dport), 12, 0) + b"lies"
check = checksum(ends + struct.pack("!HH", socket.IPPROTO_UDP, len(datagram)) + datagram)
datagram = datagram[:6] + struct.pack("!H", check) + datagram[8:]
if six:
    head = struct.pack("!IHBB", 6 << 28, len(datagram), socket.IPPROTO_UDP, 64) + ends
else:
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, socket.IPPROTO_UDP, 0) + ends
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
# What follows a tag is its VLAN, and the protocol of what is behind it.
kind = 0x86DD if six else 0x0800
packet = head + datagram
for _ in range(int(sys.argv[6]) if len(sys.argv) > 6 else 0):
    packet = struct.pack("!HH", 0, kind) + packet
    kind = 0x8100
with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as s:
    s.sendto(packet, ("eth0", kind, 0, 0, hardware(gateway)))
