/**
 * The maker of a route (`rtm_protocol`) or a rule (`FRA_PROTOCOL`): a number of our own on everything that we add. We
 * list and delete by it, and leave objects of others alone. `/etc/iproute2/rt_protos` and the routing daemons use none
 * of the numbers near it. It is the 0xe6 of the tunnel's MAC addresses (`02:e6:…`).
 */
export const routeProtocol = 230;
