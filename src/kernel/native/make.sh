#!/bin/sh
# Makes calls.linux-x64.node and calls.linux-arm64.node of calls.c, which are kept beside it: nobody who builds egress needs a
# compiler of C. On Debian with gcc, gcc-x86-64-linux-gnu and gcc-aarch64-linux-gnu, of which the own one is there with gcc.
set -eu
cd "$(dirname "$0")"
root=../../..
make() { # processor as Node calls it, and as GCC does
  "$2-linux-gnu-gcc" -Os -std=c11 -Wall -Wextra -Wno-unused-parameter -Werror -shared -fPIC -fvisibility=hidden \
    -fno-stack-protector -fno-asynchronous-unwind-tables -nostdlib -Wl,-s,--build-id=none,-z,noseparate-code,-z,norelro \
    -I "$(echo $root/node_modules/node-linux-*/include/node)" -o "calls.linux-$1.node" calls.c
}
make x64 x86_64
make arm64 aarch64
sha256sum calls.c make.sh | cut -d' ' -f1 >sources.sha256
ls -l calls.linux-*.node
