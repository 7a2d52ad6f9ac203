#!/bin/sh
# Seen with iproute2 6.1.0-3 (Debian 12) and 6.15.0-1 (Debian 13), Linux 6.18.
#
# `ip -json -details link show` tells of a VXLAN whether it carries group policy ids. An earlier ip says `"gbp":true` for yes, and
# nothing for no. A newer one prints all other flags of the device as true or false, and this one as `null`; that means yes. So
# whoever asks whether the value is true, as the other flags are asked, takes a device that has it for one that has not. Only that
# the key is there tells it, with both versions.
#
# Output:
#   6.1.0-3: with gbp true, without it no key, learning false
#   6.15.0-1: with gbp null, without it no key, learning false
#
# Needs root, apt-get with a mirror of Debian (or one in MIRROR), python3, an amd64 machine and Linux with VXLAN. Makes a network
# namespace, and removes it.
set -eu
known=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian //p' | head -n 1)
mirror=${MIRROR:-${known:?name a mirror of Debian in MIRROR}}
work=$(mktemp -d)
name=finding-$$
trap 'ip netns del $name 2>/dev/null; rm -rf "$work"' EXIT
cd "$work"

# fetch SUITE VERSION PACKAGE…: that version of iproute2 and the newest of the libraries that it needs, into a folder of its own.
fetch() {
  suite=$1 version=$2
  shift 2
  mkdir -p "$suite/lists/partial" "$suite/cache/archives/partial" "$suite/state" "$suite/debs" "$suite/root"
  : >"$suite/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$suite/sources"
  apt() {
    apt-get -qq -o "Dir::Etc::sourcelist=$work/$suite/sources" -o Dir::Etc::sourceparts=- -o "Dir::State=$work/$suite/state" \
      -o "Dir::State::lists=$work/$suite/lists" -o "Dir::State::status=$work/$suite/status" -o "Dir::Cache=$work/$suite/cache" \
      -o APT::Sandbox::User=root "$@"
  }
  apt update
  (cd "$suite/debs" && apt download "iproute2=$version" libc6 libmnl0 zlib1g libzstd1 libdb5.3"${1-}" libelf1"${1-}" libtirpc3"${1-}" \
    libbpf1 libcap2 libselinux1 libpcre2-8-0)
  for package in "$suite"/debs/*.deb; do dpkg-deb -x "$package" "$suite/root"; done
}

# show SUITE DEVICE: what that version's ip prints.
show() {
  loader=$(find "$1/root" -name 'ld-linux-x86-64.so.2' | head -n 1)
  program=$(find "$1/root" -path '*sbin/ip' | head -n 1)
  libraries=$(find "$PWD/$1/root" -name '*.so*' -exec dirname {} \; | sort -u | paste -sd :)
  ip netns exec "$name" "$loader" --library-path "$libraries" "$program" -json -details link show "$2"
}

say() {
  { show "$1" with && show "$1" without; } | python3 -c '
import json, sys
links = [json.loads(line)[0]["linkinfo"]["info_data"] for line in sys.stdin if line.strip()]
words = [json.dumps(link["gbp"]) if "gbp" in link else "no key" for link in links]
print(f"{sys.argv[1]}: with gbp {words[0]}, without it {words[1]}, learning {json.dumps(links[0][sys.argv[2]])}")' "$2" learning
}

fetch bookworm 6.1.0-3
fetch trixie 6.15.0-1 t64
ip netns add "$name"
ip -n "$name" link add with type vxlan id 7 dstport 4789 local 192.0.2.1 nolearning gbp
ip -n "$name" link add without type vxlan id 8 dstport 4790 local 192.0.2.1 nolearning
said=$(say bookworm 6.1.0-3 && say trixie 6.15.0-1)
echo "$said"
[ "$said" = '6.1.0-3: with gbp true, without it no key, learning false
6.15.0-1: with gbp null, without it no key, learning false' ]
