#!/bin/sh
# What an ADD and a DEL do, with as few commands of nft and ip as can be, for whoever writes it by hand: by-hand.sh ADD|DEL ADDRESS
# It looks at nothing that is there, undoes nothing when it fails, and remembers nothing: so it is no plugin, but the least.
set -eu
table='inet by-hand'
case $1 in
  ADD)
    nft -f - <<END
add table $table
add map $table pods { type ipv4_addr : verdict; }
add chain $table partners
flush chain $table partners
add rule $table partners ip daddr 203.0.113.0/24 counter meta mark set meta mark | 0x00010000
add chain $table classify { type filter hook prerouting priority -150; }
flush chain $table classify
add rule $table classify ct direction original ip saddr vmap @pods
add chain $table nat { type nat hook postrouting priority 90; }
flush chain $table nat
add rule $table nat meta mark & 0x00010000 != 0 oifname eth1 snat ip to 192.168.0.245
add chain $table guard { type filter hook postrouting priority 300; }
flush chain $table guard
add rule $table guard meta mark & 0x00010000 != 0 ip saddr != 192.168.0.245 counter drop
add element $table pods { $2 : goto partners }
END
    # The rule may be there already.
    ip -force -batch - 2>/dev/null <<END || :
rule add fwmark 0x00010000/0x00010000 table 77 priority 1000
route replace default via 192.168.0.1 dev eth1 table 77
END
    ;;
  DEL) nft delete element $table pods "{ $2 }" ;;
esac
