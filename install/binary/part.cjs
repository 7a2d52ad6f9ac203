const fs = require('node:fs');
const { join } = require('node:path');

/**
 * Loads a part of the program out of the binary: compiles it with what V8 made of it at build time, runs it, and returns its
 * exports.
 */
exports.load = (name) => {
  const { isSea, getRawAsset } = process.getBuiltinModule('node:sea');
  if (!isSea()) return loadAndCompile(process.env.EGRESS_PARTS, name);
  return run(script(name, Buffer.from(getRawAsset(`${name}.js`)), Buffer.from(getRawAsset(`${name}.cache`))));
};

/**
 * In the build: compiles all parts, and writes down what V8 made of each. It goes with the snapshot that the process began with.
 * Runs the part of this name.
 */
function loadAndCompile(folder, name) {
  const { setFlagsFromString } = process.getBuiltinModule('node:v8');
  setFlagsFromString('--no-lazy');
  const names = process.env.EGRESS_PART_NAMES.split(',');
  const compiled = new Map(names.map((each) => [each, script(each, fs.readFileSync(join(folder, `${each}.js`)))]));
  setFlagsFromString('--lazy');
  for (const [each, made] of compiled) fs.writeFileSync(join(folder, `${each}.cache`), made.createCachedData());
  return run(compiled.get(name));
}

function script(name, source, cachedData) {
  const { Script } = process.getBuiltinModule('node:vm');
  return new Script(source.latin1Slice(), { filename: `${name}.js`, cachedData }); // it is ASCII
}

/** What every module of CommonJS is given. */
function run(compiled) {
  const module = { exports: {} };
  compiled.runInThisContext()(module.exports, require, module, __filename, __dirname);
  return module.exports;
}
