# The first process of an emulated machine, within Debian as it comes. /mnt is the folder of the run: machine.ts has put there
# where the repository and the tools are on the host (they are in the same places here), and the command.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
. /mnt/places
set -e # the kernel panics then, and its console tells why

mkdir -p /dev/pts /dev/shm /run/netns
mount -t devpts devpts /dev/pts
for folder in /dev/shm /tmp; do mount -t tmpfs -o size=75% tmpfs $folder; done
mkdir -p "$repository" "$tools" # these may be in /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
# Nothing there changes as long as the machine runs, so each file comes over once.
shared=trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro
mount -t 9p -o $shared repository "$repository"
mount -t 9p -o $shared tools "$tools"
ln -sfn /proc/self/fd /dev/fd
for number in 0:stdin 1:stdout 2:stderr; do ln -sfn /proc/self/fd/${number%:*} /dev/${number#*:}; done
hostname machine
ip link set lo up
modprobe virtio_console
cd "$repository"

set +e
sh /mnt/command </dev/null >"$(echo /dev/vport*p1)" 2>&1
echo $? >/mnt/status
dmesg >/mnt/dmesg
sync
echo o >/proc/sysrq-trigger
# What ends the first process would have the kernel panic before it is off.
sleep 60
