// In place of `src/kernel/native/addon.ts`, which looks for the addon beside itself.
exports.load = require('./addon.cjs').lazily('calls.node');
