const fs = require('node:fs');
const { join } = require('node:path');

/**
 * Loads a part of the program out of the binary: compiles it with what V8 made of it at build time, runs it, and returns its
 * exports.
 */
exports.load = (name) => {
  const { isSea, getRawAsset } = process.getBuiltinModule('node:sea');
  if (!isSea()) return loadAndCompile(join(process.env.EGRESS_PARTS, name));
  return run(script(name, Buffer.from(getRawAsset(`${name}.js`)), Buffer.from(getRawAsset(`${name}.cache`))));
};

/** In the build: compiles all of a part, and writes down what V8 made of it. It goes with the snapshot that the process began with. */
function loadAndCompile(path) {
  const { setFlagsFromString } = process.getBuiltinModule('node:v8');
  setFlagsFromString('--no-lazy');
  const compiled = script(path, fs.readFileSync(`${path}.js`));
  setFlagsFromString('--lazy');
  fs.writeFileSync(`${path}.cache`, compiled.createCachedData());
  return run(compiled);
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
