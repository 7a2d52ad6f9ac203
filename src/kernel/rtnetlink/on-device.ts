import { EgressError } from '../../base/errors.ts';
import { nameOf } from '../../datapath/describe.ts';
import { type OutsideObject, ofKind } from '../../datapath/objects.ts';
import type { KernelKind } from '../kind.ts';
import type { NetlinkSocket } from '../netlink/socket.ts';
import { readLink } from './link.ts';

type OnDevice = OutsideObject & { readonly device: string };

/** Makes or takes down an object on the interface that has the index. */
type ByIndex<T> = (socket: NetlinkSocket, object: T, deviceIndex: number) => Promise<void>;

/** Sets up and takes down objects on an interface. They went with an interface that is gone. */
export const onDevice = <T extends OnDevice>(
  setUp: ByIndex<T>,
  takeDown: ByIndex<T>,
): Pick<KernelKind<T>, 'setUp' | 'takeDown'> => ({
  async setUp(socket, object, indexOf) {
    const index = await indexOf(object.device);
    if (index === undefined) {
      throw new EgressError('kernel-refused', `Setting up ${nameOf(object)}: there is no interface ${object.device}`);
    }
    await setUp(socket, object, index);
  },
  async takeDown(socket, object, indexOf) {
    const index = await indexOf(object.device);
    if (index !== undefined) await takeDown(socket, object, index);
  },
});

/** The objects on our tunnel's device, by `list`; none without the device. */
export const onTunnel =
  <T>(list: (socket: NetlinkSocket, device: string, deviceIndex: number) => Promise<readonly T[]>) =>
  async ({ socket, found }: Parameters<KernelKind<T>['observe']>[0]): Promise<readonly T[]> => {
    const [tunnel] = ofKind(found, 'tunnel');
    const link = tunnel && (await readLink(socket, tunnel.name));
    return link ? await list(socket, tunnel.name, link.index) : [];
  };
