/** Certificates: from what `serve` takes to what the native side is given. */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { address, check, native } from "./native";
import { encodeOptions, type PEM, type TLSOptions } from "./options";

interface Identity {
  certificates: Uint8Array;
  key: Uint8Array;
}

/** Reads them all, and sees that each is shown to whom it is meant for. */
export function readCertificates(tls: TLSOptions | TLSOptions[]): Identity[] {
  const given = Array.isArray(tls) ? tls : [tls];
  const identities = given.map(({ cert, key }) => ({ certificates: pem(cert), key: pem(key) }));
  if (given.some(({ serverName }) => serverName !== undefined)) {
    const names = identities.map(({ certificates }) => hostNames(certificates));
    for (const [index, { serverName }] of given.entries()) {
      if (serverName !== undefined) checkName(serverName.toLowerCase(), index, names);
    }
  }
  return identities;
}

/** Hands them over, for when the server starts, or reloads them. */
export function giveCertificates(server: number, identities: Identity[]): void {
  for (const { certificates, key } of identities) {
    const given = native.lorraine_add_certificate(
      server, address(certificates), certificates.length, address(key), key.length,
    );
    check(given, "the certificate cannot be used");
  }
}

/** Tries them on a server that is never started: one that runs would keep those before the first that is refused. */
export function tryCertificates(identities: Identity[]): void {
  const handle = new Float64Array(1);
  const bits = new BigUint64Array(handle.buffer);
  if (identities.length === 0) throw new Error("lorraine: there is no certificate to show from now on");
  // As many servers as may be: then they are tried in earnest.
  if (native.lorraine_new(encodeOptions({ port: 0 }).struct, bits) < 0) return;
  const server = Number(bits[0]);
  try {
    giveCertificates(server, identities);
  } finally {
    native.lorraine_free(server);
  }
}

/** The names in a certificate, some with `*.` in front; `null` for what the native side will refuse. */
function hostNames(certificates: Uint8Array): Set<string> | null {
  try {
    const names = new X509Certificate(certificates).subjectAltName ?? "";
    return new Set([...names.matchAll(/DNS:([^,\s]+)/g)].map(([, name]) => name!.toLowerCase()));
  } catch {
    return null;
  }
}

/** Whether clients that ask for a name get the certificate with this index, as the native side chooses among all. */
function checkName(name: string, index: number, names: (Set<string> | null)[]): void {
  const own = names[index];
  if (own === null || own === undefined) return;
  // RFC 9525 §6.3: the star stands for one label, the first.
  const wildcard = name.replace(/^[^.]*/, "*");
  const exact = names.findIndex(names => names?.has(name));
  const chosen = exact >= 0 ? exact : names.findIndex(names => names?.has(wildcard));
  if (chosen === index) return;
  const others = chosen >= 0 ? `clients that ask for it are shown number ${chosen + 1}` : "";
  const list = own.size === 0 ? "it names no host" : `it is for ${[...own].join(", ")}`;
  const why = own.has(name) || own.has(wildcard) ? others : list;
  throw new Error(
    `lorraine: certificate number ${index + 1} is not the one for ${name}: ${why}. The names in certificates decide, the first ` +
      "that has one; serverName must be one of them",
  );
}

/** PEM as bytes. Files are read at once: a server that starts late is of no use to anyone. */
function pem(value: PEM): Uint8Array {
  if (typeof value === "string") return Buffer.from(value);
  if (value instanceof Uint8Array) return value;
  const { name } = value as { name?: string };
  if (value instanceof Blob && typeof name === "string") return readFileSync(name);
  // Of what has failed, `peek` gives the error.
  const bytes: unknown = Bun.peek((value as Blob).bytes());
  if (!(bytes instanceof Uint8Array)) throw new TypeError("lorraine: PEM must be text, bytes, or Bun.file(path)");
  return bytes;
}
