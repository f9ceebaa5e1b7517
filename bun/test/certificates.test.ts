/** Which certificate clients are shown, and what is said of those that would not be. */
import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Server, serve, type TLSOptions } from "lorraine";
import { client, ROOT, run } from "./tools";

const directory = mkdtempSync(join(tmpdir(), "lorraine-certificates-"));
const running: Server<never>[] = [];
afterAll(() => rmSync(directory, { recursive: true }));
afterEach(async () => {
  for (const server of running.splice(0)) await server.stop(true);
});

const openssl = Bun.which("openssl");
const testWithCertificates = test.skipIf(openssl === null);
if (openssl === null) console.warn("skipped are tests of certificates: openssl is not installed");
const testWithBoth = test.skipIf(openssl === null || !existsSync(join(ROOT, "target/release/lorraine")));

/** A certificate for these names, which vouches for itself. */
async function certificate(...names: string[]): Promise<{ cert: string; key: string; path: string }> {
  const path = join(mkdtempSync(join(directory, "own-")), "cert.pem");
  const key = `${path}.key`;
  const alternative = names.length === 0 ? [] : ["-addext", `subjectAltName=${names.map(name => `DNS:${name}`).join(",")}`];
  const made = await run([
    openssl!, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "5", "-subj", "/CN=own",
    "-keyout", key, "-out", path, ...alternative,
  ]);
  expect([made.code, made.stderr]).toEqual([0, expect.anything()]);
  return { cert: readFileSync(path, "utf8"), key: readFileSync(key, "utf8"), path };
}

function start(tls: TLSOptions | TLSOptions[]): Server {
  const server = serve({ port: 0, tls, fetch: () => "in" });
  running.push(server as never);
  return server;
}

/** What a client says that trusts one certificate only. */
async function visit(server: Server, host: string, trusted: string): Promise<string> {
  const { code, stdout } = await run(client("get", `https://${host}:${server.port}/`), { env: { SSL_CERT_FILE: trusted } });
  return code === 0 ? stdout : "refused";
}

describe("several certificates", () => {
  testWithBoth("are chosen by the name that the client asks for; the first is for all others", async () => {
    const [first, local] = await Promise.all([certificate("first.example"), certificate("localhost")]);
    const server = start([first, { ...local, serverName: "localhost" }]);
    expect(await visit(server, "localhost", local.path)).toBe("in");
    expect(await visit(server, "localhost", first.path)).toBe("refused");
    const other = start([local, first]);
    expect(await visit(other, "localhost", local.path)).toBe("in");
    const alone = start(first);
    expect(await visit(alone, "localhost", local.path)).toBe("refused");
  });

  testWithCertificates("that serverName fits are taken: by name, wildcard, in any case", async () => {
    const [one, two] = await Promise.all([certificate("a.example", "*.a.example"), certificate("b.example", "x.a.example")]);
    for (const [a, b] of [["a.example", "b.example"], ["Y.A.example", "B.Example"], ["*.a.example", "x.a.example"], [undefined, "b.example"]]) {
      start([{ ...one, ...(a === undefined ? {} : { serverName: a }) }, { ...two, serverName: b! }]);
    }
  });

  testWithCertificates("that serverName does not fit are told", async () => {
    const [one, two, none] = await Promise.all([certificate("a.example", "*.a.example"), certificate("a.example", "b.example"), certificate()]);
    const cases: [TLSOptions | TLSOptions[], string][] = [
      [{ ...one, serverName: "b.example" }, "certificate number 1 is not the one for b.example: it is for a.example, *.a.example."],
      [{ ...one, serverName: "x.y.a.example" }, "not the one for x.y.a.example: it is for"],
      [[one, { ...none, serverName: "own" }], "certificate number 2 is not the one for own: it names no host."],
      [[one, { ...two, serverName: "a.example" }], "number 2 is not the one for a.example: clients that ask for it are shown number 1."],
    ];
    for (const [tls, sentence] of cases) expect(() => start(tls)).toThrow(sentence);
  });
});

describe("reload", () => {
  testWithBoth("that one certificate spoils changes nothing, and leaves nothing for the next", async () => {
    const [first, local] = await Promise.all([certificate("first.example"), certificate("localhost")]);
    const server = start(first);
    const before = server.certificateHash().value;
    expect(() => server.reload({ tls: [local, { cert: "x", key: "y" }] })).toThrow("BEGIN CERTIFICATE");
    expect(() => server.reload({ tls: local, routes: { wrong: () => "" } })).toThrow("does not begin with a slash");
    expect(() => server.reload({ tls: [] })).toThrow("no certificate");
    expect(await visit(server, "localhost", local.path)).toBe("refused");
    expect(Buffer.compare(server.certificateHash().value, before)).toBe(0);
    const third = await certificate("third.example");
    server.reload({ tls: third });
    expect(await visit(server, "localhost", local.path)).toBe("refused");
    server.reload({ tls: [third, local] });
    expect(await visit(server, "localhost", local.path)).toBe("in");
  });
});
