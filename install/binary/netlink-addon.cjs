// In place of `node-gyp-build`, which the package `netlink` asks for its addon.
const addon = require('./addon.cjs').lazily('netlink.node');

module.exports = () => ({
  get NativeNetlink() {
    return addon().NativeNetlink;
  },
});
