#!/bin/sh
# Seen with nftables 1.0.6 (Debian 12's package 1.0.6-2+deb12u2) and Linux 6.18.
#
# `ct label == 1 | 2` asks whether a connection has the labels 1 and 2 and no others. nft loads it as that, and lists it without
# the `==`, as `ct label 1 | 2`. What it lists it reads as another question: whether the connection has any of the labels.
# So a ruleset that was saved with `nft list ruleset` and loaded again matches packets that the first one did not. Here a
# connection has label 1 alone: the rule does not match it, and its own listing, loaded again, does. With a mask, as
# `ct label & (1 | 2) == 1`, listed as `ct label 1 / 1,2`, the listing is read as what it was.
#
# Output:
#   as loaded:          ct label 1 | 2      0 packets
#   its listing loaded: ct label 1,2        1 packets
#   with a mask:        ct label 1 / 1,2    1 packets
#   its listing loaded: ct label 1 / 1,2    1 packets
#
# Needs root, apt-get, python3, and Linux with labels of connections. Makes a network namespace, and removes it.
set -eu
nftables=1.0.6-2+deb12u2
work=$(mktemp -d)
name=finding-$$
trap 'ip netns del $name 2>/dev/null; rm -rf "$work"' EXIT

cd "$work"
apt-get -qq download "nftables=$nftables" "libnftables1=$nftables" libjansson4 libedit2 libbsd0 libmd0 libtinfo6 libxtables12 \
  libnftnl11 libmnl0 libgmp10 >/dev/null
for package in ./*.deb; do dpkg-deb -x "$package" root; done
libraries=$(find "$work/root" -name '*.so*' -exec dirname {} \; | sort -u | paste -sd :)
nft() { ip netns exec "$name" env LD_LIBRARY_PATH="$libraries" "$work/root/usr/sbin/nft" "$@"; }

ip netns add "$name"
ip -n "$name" link set lo up

# pass_through RULE: one datagram whose connection has label 1; tells the rule as it is listed, and how many packets matched.
pass_through() {
  nft flush ruleset
  nft -f - <<RULES
add table inet t
add chain inet t out { type filter hook output priority 0; }
add rule inet t out udp dport 9 ct label set 1
add rule inet t out udp dport 9 $1 counter
RULES
  ip netns exec "$name" python3 -c 'import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b"a", ("127.0.0.1", 9))'
  listed=$(nft list chain inet t out | sed -n 's/.*dport 9 \(ct label .*\) counter packets .*/\1/p')
  packets=$(nft list chain inet t out | sed -n 's/.*counter packets \([0-9]*\) .*/\1/p')
}

show() { printf '%-20s%-20s%s packets\n' "$1" "$listed" "$packets"; }

{
  pass_through 'ct label == 1 | 2'
  show 'as loaded:'
  pass_through "$listed"
  show 'its listing loaded:'
  pass_through 'ct label & (1 | 2) == 1'
  show 'with a mask:'
  pass_through "$listed"
  show 'its listing loaded:'
} >seen
cat seen
[ "$(sed 's/ [0-9]* packets$//' seen)" = 'as loaded:          ct label 1 | 2     
its listing loaded: ct label 1,2       
with a mask:        ct label 1 / 1,2   
its listing loaded: ct label 1 / 1,2   ' ]
[ "$(grep -o '[0-9]* packets$' seen | tr '\n' ' ')" = '0 packets 1 packets 1 packets 1 packets ' ]
