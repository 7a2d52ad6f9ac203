#!/bin/sh
# Seen with Linux 6.18 and nftables 1.0.6 (Debian 12's package 1.0.6-2+deb12u2), iproute2 6.1.
#
# A packet that the node itself sends has no input interface: in the hook output, and for a plain socket in postrouting as
# well, `iifname` is empty. The UDP packet that a VXLAN device puts around another one is sent by the node, too. Yet in
# postrouting its `iifname` is the VXLAN device, as if the packet had come in by it and was forwarded; in output it is
# empty. (The kernel's ip_output hands the device that the packet hangs on to the hook, and that still is the tunnel's.)
# So `iifname "vx0" drop` in postrouting, meant for what comes out of the tunnel, also drops all that goes into it.
#
# Output:
#   plain datagram: output iif "", postrouting iif ""
#   VXLAN datagram: output iif "", postrouting iif "vx0"
#
# Needs root, apt-get and Linux with veth and VXLAN. Makes two network namespaces, and removes them.
set -eu
nftables=1.0.6-2+deb12u2
libnftables=1.0.6-2+deb12u2
work=$(mktemp -d)
name=finding-$$
trap 'ip netns del $name-a 2>/dev/null; ip netns del $name-b 2>/dev/null; rm -rf "$work"' EXIT

cd "$work"
apt-get -qq download "nftables=$nftables" "libnftables1=$libnftables" libjansson4 libedit2 libbsd0 libmd0 libtinfo6 libxtables12 \
  libnftnl11 libmnl0 libgmp10 >/dev/null
for package in ./*.deb; do dpkg-deb -x "$package" root; done
libraries=$(find "$work/root" -name '*.so*' -exec dirname {} \; | sort -u | paste -sd :)
nft() { ip netns exec "$name-a" env LD_LIBRARY_PATH="$libraries" "$work/root/usr/sbin/nft" "$@"; }

for end in a b; do ip netns add "$name-$end"; done
ip link add veth0 netns "$name-a" type veth peer name veth0 netns "$name-b"
for end in a b; do
  number=1 other=2
  [ $end = a ] || { number=2 other=1; }
  inside="ip -n $name-$end"
  $inside address add 192.0.2.$number/24 dev veth0
  $inside link set veth0 up
  $inside link add vx0 type vxlan id 7 dstport 4789 local 192.0.2.$number remote 192.0.2.$other
  $inside address add 198.51.100.$number/24 dev vx0
  $inside link set vx0 up
done

nft -f - <<'RULES'
table inet seen {
  chain out { type filter hook output priority 0; udp dport 9 iif 0 counter comment "plain output none"
    udp dport 4789 iif 0 counter comment "vxlan output none"
  }
  chain post { type filter hook postrouting priority 0; udp dport 9 oifname "veth0" iif 0 counter comment "plain postrouting none"
    udp dport 4789 iif 0 counter comment "vxlan postrouting none"
    udp dport 4789 iifname "vx0" counter comment "vxlan postrouting vx0"
  }
}
RULES
send() { ip netns exec "$name-a" bash -c "exec 3<>/dev/udp/$1/9; echo >&3"; }
send 192.0.2.2
send 198.51.100.2
sleep 1

nft list table inet seen >seen.txt
packets() { sed -n "s/.*counter packets \([0-9]*\) .*comment \"$1\".*/\1/p" seen.txt; }
where() { [ "$(packets "$1 $2 none")" -gt 0 ] && echo '""' || { [ "$(packets "$1 $2 vx0")" -gt 0 ] && echo '"vx0"' || echo '?'; }; }
{
  echo "plain datagram: output iif $(where plain output), postrouting iif $(where plain postrouting)"
  echo "VXLAN datagram: output iif $(where vxlan output), postrouting iif $(where vxlan postrouting)"
} | tee told.txt
diff - told.txt <<'EXPECTED'
plain datagram: output iif "", postrouting iif ""
VXLAN datagram: output iif "", postrouting iif "vx0"
EXPECTED
