#!/bin/sh
# Seen with Linux 6.18 and iproute2 6.1 (Debian 12's package 6.1.0-3).
#
# Two hosts have two networks in common. One of them answers packets that came for its address of the second network, by the
# first network, where the asking host is. Where it does not know the station of that host it asks for it by ARP, and Linux
# gives as the sender of that question the source of the waiting packet, though it is no address of the interface
# (`arp_announce` 0). The other host, with a strict reverse path filter, would reach that sender by the second network: it
# takes the question for a false one, and does not answer ARP either. So the answer is lost, and all that come after it, as
# long as nothing else makes the stations known to each other, while both hosts say that all is well: with an entry of the
# other side's own asking, or with `arp_announce` 2, it works. A filter of packets that decides about ARP is what surprises.
#
# Output:
#   strict filter, station unknown: no answer
#   strict filter, station known: answered
#   strict filter, station unknown, arp_announce 2: answered
#   loose filter, station unknown: answered
#
# Needs root, apt-get, python3 and Linux with veth. Makes two network namespaces, and removes them.
set -eu
iproute2=6.1.0-3
work=$(mktemp -d)
name=finding-$$
trap 'ip netns del $name-a 2>/dev/null; ip netns del $name-b 2>/dev/null; rm -rf "$work"' EXIT

cd "$work"
apt-get -qq download "iproute2=$iproute2" libbpf1 libelf1 libmnl0 libcap2 >/dev/null
for package in ./*.deb; do dpkg-deb -x "$package" root; done
libraries=$(find "$work/root" -name '*.so*' -exec dirname {} \; | sort -u | paste -sd :)
ip() { LD_LIBRARY_PATH="$libraries" "$(find "$work/root" -name ip -type f -perm -1 | head -1)" "$@"; }
at() { ip netns exec "$name-$1" sh -c "$2"; }

for host in a b; do ip netns add "$name-$host"; done
for network in 1 2; do
  ip link add "net$network" netns "$name-a" type veth peer name "net$network" netns "$name-b"
  ip -n "$name-a" address add "192.0.$network.1/24" dev "net$network"
  ip -n "$name-b" address add "192.0.$network.2/24" dev "net$network"
  for host in a b; do ip -n "$name-$host" link set "net$network" up; done
done
# b answers for its address of the second network by the first one.
at b 'echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter; for d in net1 net2; do echo 0 >/proc/sys/net/ipv4/conf/$d/rp_filter; done'
ip -n "$name-b" rule add from 192.0.2.2 lookup 100
ip -n "$name-b" route add 192.0.1.0/24 dev net1 table 100

# What a listens to is what comes in by the first network, before its filter: that is told from what it would take.
cat >ask.py <<'P'
import socket, struct, time
def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
heard = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
heard.bind(("net1", 0x0800))
heard.settimeout(0.2)
echo = struct.pack(">BBHHH", 8, 0, 0, 7, 7)
echo = echo[:2] + struct.pack(">H", checksum(echo)) + echo[4:]
ask = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
ask.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"net1")
ask.bind(("192.0.1.1", 0))
end = time.time() + 2.5
answered = False
while time.time() < end and not answered:
    ask.sendto(echo, ("192.0.2.2", 0))
    try:
        packet = heard.recv(200)
        answered = packet[9] == 1 and packet[12:16] == socket.inet_aton("192.0.2.2")
    except TimeoutError:
        pass
print("answered" if answered else "no answer")
P
ip -n "$name-a" route add 192.0.2.2/32 dev net2
ip -n "$name-a" route add 192.0.2.2/32 dev net1 table 100
ip -n "$name-a" rule add oif net1 lookup 100
mac=$(ip -n "$name-b" -o link show net1 | sed 's/.*ether \([^ ]*\).*/\1/')
ip -n "$name-a" neigh replace 192.0.2.2 lladdr "$mac" dev net1 nud permanent # a's own question is not what is asked here

ask() { # words, filter of a, arp_announce of b
  at a "echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter; echo $2 >/proc/sys/net/ipv4/conf/net1/rp_filter"
  at b "echo $3 >/proc/sys/net/ipv4/conf/all/arp_announce"
  printf '%s: ' "$1"
  at a "python3 $work/ask.py"
}
unknown() { ip -n "$name-b" neigh flush all; }

{
  unknown
  ask 'strict filter, station unknown' 1 0
  ip -n "$name-b" neigh replace 192.0.1.1 lladdr "$(ip -n "$name-a" -o link show net1 | sed 's/.*ether \([^ ]*\).*/\1/')" dev net1 nud reachable
  ask 'strict filter, station known' 1 0
  ip -n "$name-b" neigh del 192.0.1.1 dev net1
  ask 'strict filter, station unknown, arp_announce 2' 1 2
  ip -n "$name-b" neigh del 192.0.1.1 dev net1
  ask 'loose filter, station unknown' 2 0
} >seen
cat seen
diff - seen <<'EXPECTED'
strict filter, station unknown: no answer
strict filter, station known: answered
strict filter, station unknown, arp_announce 2: answered
loose filter, station unknown: answered
EXPECTED
