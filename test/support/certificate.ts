import { generateKeyPairSync, sign } from 'node:crypto';

/** See {@link certificateFor}. */
export const certificateForLoopback = () => certificateFor('127.0.0.1');

/**
 * A certificate for IPv4 addresses that signs itself, and its key, both as PEM: made anew for each test, so no key is in the
 * tree. Node can read certificates but make none, and openssl(1) is not everywhere; this is the little of DER (X.690)
 * that RFC 5280 asks for.
 */
export function certificateFor(...addresses: readonly string[]): {
  readonly certificate: string;
  readonly key: string;
} {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const publicKeyInfo = publicKey.export({ type: 'spki', format: 'der' });
  const toBeSigned = sequence(
    der(0xa0, integer(2)), // version 3
    integer(1),
    ecdsaWithSha256,
    name,
    sequence(utcTime('200101000000Z'), utcTime('491231235959Z')),
    name,
    publicKeyInfo,
    der(0xa3, sequence(alternativeNames(addresses))),
  );
  const signature = sign('sha256', toBeSigned, privateKey);
  const certificate = sequence(toBeSigned, ecdsaWithSha256, der(0x03, Buffer.concat([Buffer.of(0), signature])));
  return {
    certificate: `-----BEGIN CERTIFICATE-----\n${certificate.toString('base64')}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** One value: tag, length, content. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const [high, low] = [length >> 8, length & 0xff];
  const lengthBytes = length < 0x80 ? [length] : high === 0 ? [0x81, low] : [0x82, high, low]; // Go takes the shortest form only
  return Buffer.concat([Buffer.of(tag, ...lengthBytes), content]);
}

const sequence = (...parts: readonly Buffer[]): Buffer => der(0x30, ...parts);
const integer = (value: number): Buffer => der(0x02, Buffer.of(value));
const objectIdentifier = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'));
const utcTime = (text: string): Buffer => der(0x17, Buffer.from(text));

/** 1.2.840.10045.4.3.2. */
const ecdsaWithSha256 = sequence(objectIdentifier('2a8648ce3d040302'));
/** CN=test (2.5.4.3). */
const name = sequence(der(0x31, sequence(objectIdentifier('550403'), der(0x0c, Buffer.from('test')))));
/** subjectAltName (2.5.29.17): an iPAddress for each. */
const alternativeNames = (addresses: readonly string[]): Buffer =>
  sequence(
    objectIdentifier('551d11'),
    der(0x04, sequence(...addresses.map((address) => der(0x87, Buffer.from(address.split('.').map(Number)))))),
  );
