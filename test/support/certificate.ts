import { generateKeyPairSync, sign } from 'node:crypto';

/**
 * A certificate for 127.0.0.1 that signs itself, and its key, both as PEM: made anew for each test, so no key is in the
 * tree. Node can read certificates but make none, and openssl(1) is not everywhere; this is the little of DER (X.690)
 * that RFC 5280 asks for.
 */
export function certificateForLoopback(): { readonly certificate: string; readonly key: string } {
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
    der(0xa3, sequence(subjectIsLoopback)),
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
  const lengthBytes = length < 0x80 ? [length] : [0x82, length >> 8, length & 0xff];
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
/** subjectAltName (2.5.29.17): iPAddress 127.0.0.1. */
const subjectIsLoopback = sequence(objectIdentifier('551d11'), der(0x04, sequence(der(0x87, Buffer.of(127, 0, 0, 1)))));
