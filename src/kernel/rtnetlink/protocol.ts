/**
 * Who made a route (`rtm_protocol`) or a rule (`FRA_PROTOCOL`): a number of our own on everything that we add, so that
 * we list and delete by this mark, never by resemblance, and leave alone what others put beside it. `/etc/iproute2/rt_protos`
 * and the routing daemons use none of the numbers near it. It is the 0xe6 of the tunnel's MAC addresses (`02:e6:…`).
 */
export const routeProtocol = 230;
