#!/bin/sh
# Gets what building and testing need, and only what is missing: sh install/tools.sh [node|lab]
#   node  the npm packages that package-lock.json names
#   lab   the programs that test/lab runs; on Debian and Ubuntu, as root
# Without an argument, both. With nothing to do it is silent and fast: the npm scripts run it every time.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

# The oldest Go 1.x that builds this cnitool, and the Go to get where the distribution has an older one.
cnitool=github.com/containernetworking/cni/cnitool@v1.3.0
oldest_go=21
newer_go=go1.24.4

# What the lab runs, as a program or a file, and the Debian package that has it.
lab_needs='
ip iproute2
nft nftables
iptables iptables
conntrack conntrack
tcpdump tcpdump
strace strace
nsenter util-linux
ps procps
python3 python3-minimal
/usr/lib/cni/bridge containernetworking-plugins
'

fail() {
  echo "install/tools.sh: $*" >&2
  exit 1
}

attempt() {
  "$@" || fail "this failed: $*"
}

has() {
  command -v "$1" >/dev/null
}

node_tools() {
  installed=node_modules/.package-lock.json # npm writes it last
  [ -f $installed ] && [ -z "$(find package-lock.json -newer $installed)" ] && return
  has node || fail 'Node.js is missing: install version 20 or newer'
  has npm || fail 'npm is missing: install it, it belongs to Node.js'
  [ "$(node -p 'parseInt(process.versions.node)')" -ge 20 ] ||
    fail "Node.js $(node --version) is too old: install version 20 or newer"
  attempt npm ci --loglevel=error >/dev/null
}

lab_tools() {
  if [ "$(id -u)" -ne 0 ]; then
    echo 'install/tools.sh: the lab needs root; nothing was installed for it' >&2
    return
  fi
  # shellcheck disable=SC2046 # one word for each package
  apt_install $(missing_packages)
  [ -x .cache/tools/cnitool ] || build_cnitool
}

missing_packages() {
  echo "$lab_needs" | while read -r need package; do
    [ -z "$need" ] || has "$need" || echo "$package"
  done
}

apt_install() {
  [ $# -gt 0 ] || return 0
  has apt-get || fail "apt-get is missing, so install these yourself: $*"
  attempt apt-get -qq update
  attempt env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

build_cnitool() {
  work=$PWD/.cache/go
  # Go verifies what it downloads, and would not be able to on a system without certificates.
  [ -e /etc/ssl/certs/ca-certificates.crt ] || apt_install ca-certificates
  export GOPATH="$work" GOCACHE="$work/build" GOFLAGS=-modcacherw CGO_ENABLED=0
  find_go
  attempt env GOBIN="$PWD/.cache/tools" "$go" install $cnitool
  rm -rf "$work"
}

# Sets `go` to a Go that is new enough.
find_go() {
  PATH=$PATH:/usr/local/go/bin
  has go || apt_install golang-go
  go=go
  minor=$(go version | sed 's/.* go1\.\([0-9]*\).*/\1/')
  [ "$minor" -ge $oldest_go ] || get_newer_go
}

# What `go` does by itself since 1.21: a toolchain is a module. Its zip cannot hold modes, nor modules inside the module.
get_newer_go() {
  toolchain=golang.org/toolchain@v0.0.1-$newer_go.linux-$(go env GOARCH)
  attempt go mod download "$toolchain"
  folder=$GOPATH/pkg/mod/$toolchain
  chmod -R +x "$folder/bin" "$folder/pkg/tool"
  for module in src src/cmd; do
    mv "$folder/$module/_go.mod" "$folder/$module/go.mod"
  done
  go=$folder/bin/go
}

case ${1-} in
  '')
    node_tools
    lab_tools
    ;;
  node) node_tools ;;
  lab) lab_tools ;;
  *) fail "unknown argument: $1" ;;
esac
