/**
 * One instruction of the virtual machine in the kernel, as plain data in the words of `nft --debug=netlink`
 * (linux/netfilter/nf_tables.h). Data is lower-case hexadecimal in the order of the bytes in memory, so that an
 * expression can be compared, stored and printed as it is. Registers have the kernel's numbers: 0 holds the verdict,
 * 1…4 are 16 bytes wide, 8…23 are their 4-byte parts (8 is the first quarter of 1).
 */
export type Expression =
  | { readonly name: 'meta'; readonly key: MetaKey; readonly dreg: number }
  | { readonly name: 'meta'; readonly key: MetaKey; readonly sreg: number }
  | {
      readonly name: 'payload';
      readonly base: 'network' | 'transport';
      readonly offset: number;
      readonly length: number;
      readonly dreg: number;
    }
  | {
      /** Writes into the packet's header; the checksums of the header (`inet`, at an offset of it) and behind it go with that. */
      readonly name: 'payload';
      readonly sreg: number;
      readonly base: 'network';
      readonly offset: number;
      readonly length: number;
      readonly checksum: 'none' | 'inet';
      readonly checksumOffset: number;
      /** 1: the checksum of the transport's header, which covers the addresses. */
      readonly checksumFlags: number;
    }
  | {
      /** A field of an IPv6 extension header of type `header`; without such a header in the packet the rule ends. */
      readonly name: 'exthdr';
      readonly header: number;
      readonly offset: number;
      readonly length: number;
      readonly dreg: number;
    }
  | {
      /** Writes into the TCP option of kind `option`; a packet without it stays as it is. */
      readonly name: 'exthdr';
      readonly option: number;
      readonly offset: number;
      readonly length: number;
      readonly sreg: number;
    }
  | {
      readonly name: 'ct';
      readonly key: 'direction' | 'state' | 'status' | 'protocol' | 'label' | 'id';
      readonly dreg: number;
    }
  | { readonly name: 'ct'; readonly key: 'label'; readonly sreg: number }
  | {
      readonly name: 'ct';
      readonly key: 'src_ip' | 'src_ip6' | 'dst_ip' | 'dst_ip6' | 'proto_src';
      readonly direction: 'original' | 'reply';
      readonly dreg: number;
    }
  | { readonly name: 'rt'; readonly key: 'tcpmss'; readonly dreg: number }
  | {
      readonly name: 'fib';
      readonly field: 'saddr' | 'saddr . oif' | 'daddr';
      readonly result: 'type' | 'oifname';
      readonly dreg: number;
    }
  | {
      /**
       * A number of 32 bits, 1 or 0. `saddr . iif`, `daddr . iif`: a packet to the source or destination address may leave by
       * the input interface. `daddr exists`: the destination has a route.
       */
      readonly name: 'fib';
      readonly field: 'saddr . iif' | 'daddr . iif' | 'daddr exists';
      readonly result: 'oif';
      readonly dreg: number;
    }
  | {
      readonly name: 'bitwise';
      readonly sreg: number;
      readonly dreg: number;
      readonly length: number;
      readonly mask: Hex;
      readonly xor: Hex;
    }
  | {
      /** Turns each `size` bytes from the order of the host to that of the network. */
      readonly name: 'byteorder';
      readonly op: 'hton';
      readonly sreg: number;
      readonly dreg: number;
      readonly length: number;
      readonly size: number;
    }
  | { readonly name: 'cmp'; readonly op: 'eq' | 'neq' | 'gte'; readonly sreg: number; readonly data: Hex }
  | {
      readonly name: 'lookup';
      readonly set: string;
      readonly sreg: number;
      readonly dreg?: number;
      readonly invert?: true;
    }
  | { readonly name: 'immediate'; readonly verdict: Verdict }
  | { readonly name: 'immediate'; readonly dreg: number; readonly data: Hex }
  | {
      readonly name: 'nat';
      readonly type: 'snat';
      readonly family: 4 | 6;
      readonly addressRegister: number;
      /** Both or none. */
      readonly portRegister?: number;
      readonly lastPortRegister?: number;
    }
  | { readonly name: 'masq' }
  | { readonly name: 'notrack' }
  | { readonly name: 'counter' };

/** Bytes as lower-case hexadecimal. */
export type Hex = string;

/** Keys of `meta`, in nft's words (`enum nft_meta_keys`). */
export type MetaKey = 'protocol' | 'mark' | 'oif' | 'iifname' | 'oifname' | 'nfproto' | 'l4proto';

/** What becomes of a packet; `jump` and `goto` name the chain. */
export type Verdict =
  | { readonly code: 'accept' | 'drop' | 'return' }
  | { readonly code: 'jump' | 'goto'; readonly chain: string };
