// In place of `koffi`, whose loader looks for files beside itself.
const addon = require('./addon.cjs').lazily('koffi.node');

exports.load = (library) => addon().load(library);
exports.errno = () => addon().errno();
exports.address = (bytes) => addon().address(bytes);
