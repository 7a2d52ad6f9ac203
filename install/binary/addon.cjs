const fs = require('node:fs');
// While the snapshot is made: Node compiles it anew where it is first asked for in a call.
const { getRawAsset } = process.getBuiltinModule('node:sea');

/** A file without a name (open(2)): nobody can put another in its place, and nothing is left of it. */
const O_TMPFILE = 0o20200000;
/** Folders in memory first; any of them may be missing, read-only or mounted noexec. */
const folders = ['/dev/shm', '/run', '/tmp', '/var/lib/cni', '/var/lib', '/var/tmp'];

/** Loads an addon out of the binary. The descriptor stays open: dlopen(3) takes an equal path for the same library. */
function load(asset) {
  const bytes = new Uint8Array(getRawAsset(asset));
  const failures = [];
  for (const folder of folders) {
    try {
      const fd = fs.openSync(folder, O_TMPFILE | fs.constants.O_RDWR, 0o700);
      fs.writeSync(fd, bytes);
      const module = { exports: {} };
      process.dlopen(module, `/proc/self/fd/${fd}`);
      return module.exports;
    } catch (error) {
      failures.push(`${folder}: ${error.message}`);
    }
  }
  throw new Error(`The addon ${asset} cannot be loaded from any folder (${failures.join('; ')})`);
}

/** An addon that is loaded when it is first used: the snapshot can hold none. */
exports.lazily = (asset) => {
  let loaded;
  return () => {
    loaded ??= load(asset);
    return loaded;
  };
};
