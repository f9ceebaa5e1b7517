/** What options make of a server, as its clients see it. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serve } from "lorraine";
import { h3 } from "./tools";

const directory = mkdtempSync(join(tmpdir(), "lorraine-options-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** The idle timeout that a server announces, ms, as its qlog has it. */
async function announced(idleTimeout: number | undefined): Promise<number> {
  const qlogDir = mkdtempSync(join(directory, "qlog-"));
  const server = serve({ port: 0, hostname: "127.0.0.1", transport: { qlogDir }, fetch: () => "x", ...(idleTimeout === undefined ? {} : { idleTimeout }) });
  expect(await (await h3(server.url)).text()).toBe("x");
  await server.stop(true);
  const [file] = readdirSync(qlogDir);
  const lines = readFileSync(join(qlogDir, file!), "utf8").split("\n");
  const own = lines.find(line => line.includes('"name":"quic:parameters_set"') && line.includes('"initiator":"local"'))!;
  return Number(/"max_idle_timeout":(\d+)/.exec(own)![1]);
}

describe("idleTimeout", () => {
  test("is 30 s unless set, in seconds", async () => {
    expect(await announced(undefined)).toBe(30_000);
    expect(await announced(7)).toBe(7_000);
    expect(await announced(0.25)).toBe(250);
  });

  test("of 0 leaves the client's limit alone", async () => {
    const days = await announced(0) / 86_400_000;
    expect(Math.floor(days)).toBe(12);
  });
});
