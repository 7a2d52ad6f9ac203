#!/bin/sh
# Gets what building and testing need, and only what is missing: sh install/tools.sh [node|lab|runtime|bench|kernels|charts|cluster]
#   node    the npm packages that package-lock.json names
#   lab     the programs that test/lab runs; on Debian and Ubuntu, as root
#   runtime those that test/runtime runs beside them: container runtimes
#   bench   plugins of others that test/bench measures beside ours: the first time minutes of building, and 3 GB of memory
#   kernels qemu, and what makes disks for it: for test/kernels, where the lab runs on other kernels
#   charts  helm and kustomize, for the test of the Helm chart: some minutes of building, so only when it is asked for
#   cluster what test/cluster runs: etcd and Kubernetes, built from the Go module proxy. The first time that takes about half
#           an hour on two cores, so only when it is asked for. KUBERNETES=1.37.2 builds that version beside the other one
#   packages gets nothing: prints the packages of the lab's programs
# Without an argument, the first three. With nothing to do it is silent and fast: the npm scripts run it every time.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

# The oldest Go 1.x that builds these, and the Go to get where the distribution has an older one.
cnitool=github.com/containernetworking/cni/cnitool@v1.3.0
helm=helm.sh/helm/v3/cmd/helm@v3.17.4
kustomize=sigs.k8s.io/kustomize/kustomize/v5@v5.6.0
containerd2=github.com/containerd/containerd/v2/cmd
containerd2_version=v2.2.1
plugins=github.com/containernetworking/plugins/plugins
plugins_version=v1.9.0
crictl=sigs.k8s.io/cri-tools@v1.30.0
# What the bench measures ours beside: the newest releases.
peer_plugins=v1.10.0
peer_aws=v1.23.2
kubernetes=${KUBERNETES:-1.34.4}
etcd=go.etcd.io/etcd/server/v3@v3.6.16
oldest_go=24
newer_go=go1.24.4

# What the lab runs, as a program or a file, and the Debian package that has it.
lab_needs='
ip iproute2
nft nftables
iptables iptables
conntrack conntrack
tcpdump tcpdump
strace strace
keepalived keepalived
nsenter util-linux
ps procps
python3 python3
/usr/lib/cni/bridge containernetworking-plugins
'

# The same for container runtimes.
runtime_needs='
containerd containerd
ctr containerd
runc runc
podman podman
busybox busybox-static
'

# What makes machines with other kernels, and disks for them.
kernels_needs='
qemu-system-x86_64 qemu-system-x86
debootstrap debootstrap
/usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
mke2fs e2fsprogs
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
  apt_install $(missing_packages "$lab_needs")
  [ -x .cache/tools/cnitool ] || build $cnitool
  has_prometheus || get_prometheus
}

has_prometheus() {
  for name in prometheus promtool; do
    has $name || [ -x .cache/tools/$name ] || return
  done
}

# The programs alone, out of Debian's package: to install that would start a Prometheus on this machine.
get_prometheus() {
  has apt-get || fail 'apt-get is missing, so install these yourself: prometheus and promtool'
  work=$PWD/.cache/prometheus
  mkdir -p "$work" .cache/tools
  attempt apt-get -qq update
  (cd "$work" && attempt apt-get -qq -o APT::Sandbox::User=root download prometheus)
  attempt dpkg-deb -x "$work"/prometheus_*.deb "$work"
  attempt mv "$work/usr/bin/prometheus" "$work/usr/bin/promtool" .cache/tools/
  rm -rf "$work"
}

runtime_tools() {
  lab_tools
  [ "$(id -u)" -eq 0 ] || return 0
  # shellcheck disable=SC2046 # one word for each package
  apt_install $(missing_packages "$runtime_needs")
  [ -x .cache/tools/containerd-2/host-local ] || build_containerd2
  [ -x .cache/tools/crictl ] || build_crictl
}

missing_packages() {
  echo "$1" | while read -r need package; do
    [ -z "$need" ] || has "$need" || echo "$package"
  done | sort -u
}

apt_install() {
  [ $# -gt 0 ] || return 0
  has apt-get || fail "apt-get is missing, so install these yourself: $*"
  attempt apt-get -qq update
  attempt env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

chart_tools() {
  [ -x .cache/tools/helm ] || build $helm
  [ -x .cache/tools/kustomize ] || build $kustomize
}

# A whole Kubernetes, what it keeps its objects in, and helm. Each program that is there already stays.
cluster_tools() {
  runtime_tools
  [ -x .cache/tools/helm ] || build $helm
  folder=$PWD/.cache/tools/kubernetes
  mkdir -p "$folder"
  [ -x "$folder/etcd" ] || build_module "$folder/etcd" ${etcd%@*} ${etcd#*@} ''
  folder=$folder${KUBERNETES:+-$KUBERNETES}
  mkdir -p "$folder"
  for program in kube-apiserver kubectl kubelet kube-controller-manager kube-scheduler kube-proxy; do
    [ -x "$folder/$program" ] || build_kubernetes $program
  done
}

# A program of Kubernetes. Its module takes modules of the same repository for folders beside it, which the proxy has as
# modules of their own, with 0 in the place of the first number of their version.
build_kubernetes() {
  find_go
  module=k8s.io/kubernetes@v$kubernetes
  attempt go mod download $module
  rules=$(sed -n "s|^[[:space:]]*\\(k8s.io/[a-z-]*\\) => \\./staging/.*|replace \\1 => \\1 v0.${kubernetes#1.}|p" \
    "$("$go" env GOMODCACHE)/$module/go.mod")
  flags="-X k8s.io/component-base/version.gitVersion=v$kubernetes"
  [ -n "$rules" ] || fail "$module: its go.mod names no modules of its own repository"
  build_module "$folder/$1" "k8s.io/kubernetes/cmd/$1" "v$kubernetes" "$rules" "$flags"
}

# Builds a package in a module of our own: build_module FILE PACKAGE VERSION RULES-OF-THE-MODULE [FLAGS-OF-THE-LINKER]
build_module() {
  find_go
  work=$(mktemp -d "$PWD/.cache/module.XXXXXX")
  module_of_package=${2%/cmd/*}
  {
    printf 'module built\ngo 1.24\nrequire %s %s\n%s\n' "${module_of_package%/plugins/*/*}" "$3" "$4" >"$work/go.mod"
    (cd "$work" && "$go" build -mod=mod -trimpath -ldflags "-s -w ${5-}" -o "$1" "$2")
  } 2>.cache/cluster.log || {
    tail -n 3 .cache/cluster.log >&2
    fail "$2 was not built"
  }
  rm -rf "$work"
}

# The reference plugins and the egress plugin of AWS. What is not built the bench does not measure, and says so.
bench_tools() {
  runtime_tools
  [ "$(id -u)" -eq 0 ] || return 0
  folder=$PWD/.cache/tools/bench
  mkdir -p "$folder"
  peer plugins $peer_plugins ptp github.com/containernetworking/plugins/plugins/main/ptp
  peer plugins $peer_plugins portmap github.com/containernetworking/plugins/plugins/meta/portmap
  peer plugins $peer_plugins host-local github.com/containernetworking/plugins/plugins/ipam/host-local
  peer aws $peer_aws aws-egress-cni github.com/aws/amazon-vpc-cni-k8s/cmd/egress-cni-plugin
}

# Builds a plugin of a project unless it is there: peer PROJECT VERSION FILE PACKAGE
peer() {
  file=$folder/$3
  [ ! -x "$file" ] || return 0
  echo "install/tools.sh: building $3 $2" >&2
  (build_module "$file" "$4" "$2" '') || return 0
  { grep -v "^$1 " "$folder/versions" 2>/dev/null || :; echo "$1 $2"; } >"$folder/versions.new"
  mv "$folder/versions.new" "$folder/versions"
}

kernels_tools() {
  [ "$(uname -m)" = x86_64 ] || fail 'machines with other kernels need a processor of x86_64'
  lab_tools
  [ "$(id -u)" -eq 0 ] || return 0
  # shellcheck disable=SC2046 # one word for each package
  apt_install $(missing_packages "$kernels_needs")
}

# Builds a Go program into .cache/tools.
build() {
  work=$PWD/.cache/go
  export GOPATH="$work" GOCACHE="$work/build"
  find_go
  attempt env GOBIN="$PWD/.cache/tools" "$go" install "$1"
  rm -rf "$work"
  unset GOPATH GOCACHE
}

# containerd 2, and plugins that know version 1.1.0 of CNI, which Debian's do not. This takes minutes: with Go's own caches
# the next checkout on this machine has it in seconds. Without it one part of test/runtime does not run, and says so.
build_containerd2() {
  find_go
  GOBIN=$PWD/.cache/tools/containerd-2
  export GOBIN
  {
    "$go" install -ldflags '-s -w' -tags 'no_btrfs no_devmapper no_zfs' \
      $containerd2/containerd@$containerd2_version $containerd2/containerd-shim-runc-v2@$containerd2_version &&
      "$go" install -ldflags '-s -w' $plugins/main/bridge@$plugins_version $plugins/meta/portmap@$plugins_version \
        $plugins/ipam/host-local@$plugins_version
  } 2>.cache/containerd-2.log || {
    tail -n 3 .cache/containerd-2.log >&2
    echo 'install/tools.sh: containerd 2 was not built; the tests with it will not run' >&2
  }
  unset GOBIN
}

# crictl, from its own folder: `go install` asks for the list of its versions, which a proxy may not have. Minutes, too.
build_crictl() {
  find_go
  work=$PWD/.cache/crictl
  {
    "$go" mod download $crictl &&
      cp -r "$("$go" env GOMODCACHE)/$crictl" "$work" && chmod -R u+w "$work" &&
      (cd "$work" && "$go" build -mod=mod -ldflags '-s -w' -o ../tools/crictl ./cmd/crictl)
  } 2>.cache/crictl.log || {
    tail -n 3 .cache/crictl.log >&2
    echo 'install/tools.sh: crictl was not built; the tests with it will not run' >&2
  }
  rm -rf "$work"
}

# Sets `go` to a Go that is new enough.
find_go() {
  # Go verifies what it downloads, and would not be able to on a system without certificates.
  [ -e /etc/ssl/certs/ca-certificates.crt ] || apt_install ca-certificates
  export GOFLAGS=-modcacherw CGO_ENABLED=0
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
  folder=$(go env GOPATH)/pkg/mod/$toolchain
  chmod -R +x "$folder/bin" "$folder/pkg/tool"
  for module in src src/cmd; do
    [ ! -e "$folder/$module/_go.mod" ] || mv "$folder/$module/_go.mod" "$folder/$module/go.mod"
  done
  go=$folder/bin/go
}

case ${1-} in
  '')
    node_tools
    runtime_tools
    ;;
  node) node_tools ;;
  lab) lab_tools ;;
  runtime) runtime_tools ;;
  bench) bench_tools ;;
  kernels) kernels_tools ;;
  packages) echo "$lab_needs" | awk 'NF == 2 { print $2 }' | sort -u ;;
  charts) chart_tools ;;
  cluster) cluster_tools ;;
  *) fail "unknown argument: $1" ;;
esac
