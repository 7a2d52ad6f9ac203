#!/bin/sh
# Seen with Linux 6.18 and nftables 1.0.6 (Debian 12's package 1.0.6-2+deb12u2), iproute2 6.1.
#
# A transaction of nftables is said to be atomic: a packet sees the rules before it or those after it. One thing of it comes
# later than the rest. Rules, and elements of maps that lead to them, take effect together; but the elements of a new set of
# ranges (`flags interval`) are found only at the end of the commit. In between a packet is led to the new rules, asks the new
# set, and is told that it is empty. Here a client is on the list at every moment, and a map leads it from one list to the next
# like it: when list, set and element are one transaction, some of its packets are not found on any. When the set is made by a
# transaction before, none is missed.
#
# Output (the first number differs from run to run):
#   set and element in one transaction: 54 packets missed
#   set in a transaction before: 0 packets missed
#
# Needs root, apt-get, python3 and Linux with veth. Makes two network namespaces, and removes them.
set -eu
nftables=1.0.6-2+deb12u2
libnftables=1.0.6-2+deb12u2
changes=300
work=$(mktemp -d)
name=finding-$$
sender=
trap 'kill $sender 2>/dev/null; ip netns del $name-a 2>/dev/null; ip netns del $name-b 2>/dev/null; rm -rf "$work"' EXIT

cd "$work"
apt-get -qq download "nftables=$nftables" "libnftables1=$libnftables" libjansson4 libedit2 libbsd0 libmd0 libtinfo6 libxtables12 \
  libnftnl11 libmnl0 libgmp10 >/dev/null
for package in ./*.deb; do dpkg-deb -x "$package" root; done
libraries=$(find "$work/root" -name '*.so*' -exec dirname {} \; | sort -u | paste -sd :)
nft() { ip netns exec "$name-b" env LD_LIBRARY_PATH="$libraries" "$work/root/usr/sbin/nft" "$@"; }

for end in a b; do ip netns add "$name-$end"; done
ip link add veth0 netns "$name-a" type veth peer name veth0 netns "$name-b"
ip -n "$name-a" address add 192.0.2.1/24 dev veth0
ip -n "$name-b" address add 192.0.2.2/24 dev veth0
for end in a b; do ip -n "$name-$end" link set veth0 up; done

# new_set N, new_list N: a list that holds the destination, and the rules that ask it.
new_set() { echo "add set inet t ranges$1 { type ipv4_addr; flags interval; elements = { 192.0.2.0/28, 198.51.100.0/24 }; }"; }
new_list() {
  echo "add chain inet t list$1"
  echo "add rule inet t list$1 ip daddr @ranges$1 accept"
  echo "add rule inet t list$1 goto missed"
}
old_list() {
  echo "flush chain inet t list$1"
  echo "delete chain inet t list$1"
  echo "delete set inet t ranges$1"
}

begin() {
  nft flush ruleset
  {
    echo 'add table inet t'
    echo 'add map inet t clients { type ipv4_addr : verdict; }'
    echo 'add chain inet t missed'
    echo 'add rule inet t missed counter'
    new_set 0
    new_list 0
    echo 'add element inet t clients { 192.0.2.1 : goto list0 }'
    echo 'add chain inet t in { type filter hook prerouting priority 0; }'
    echo 'add rule inet t in ip saddr vmap @clients'
  } | nft -f -
}

# change N: from list N-1 to list N, but for the set.
change() {
  new_list "$1"
  echo 'delete element inet t clients { 192.0.2.1 }'
  echo "add element inet t clients { 192.0.2.1 : goto list$1 }"
  old_list "$(($1 - 1))"
}

missed() { nft list chain inet t missed | sed -n 's/.*packets \([0-9]*\).*/\1/p'; }

ip netns exec "$name-a" python3 -c "
import socket
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True: sender.sendto(b'x', ('192.0.2.2', 9))
" &
sender=$!

begin
for i in $(seq "$changes"); do { new_set "$i"; change "$i"; } | nft -f -; done
together=$(missed)
begin
for i in $(seq "$changes"); do
  new_set "$i" | nft -f -
  change "$i" | nft -f -
done
before=$(missed)

echo "set and element in one transaction: $together packets missed"
echo "set in a transaction before: $before packets missed"
[ "$together" -gt 0 ] && [ "$before" -eq 0 ]
