/** The numbers and layouts that the package repeats are those of the header. */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { version } from "lorraine";
import * as events from "../src/events";
import * as native from "../src/native";
import { ROOT, run } from "./tools";

const INCLUDE = join(ROOT, "crates/ffi/include");
const header = await Bun.file(join(INCLUDE, "lorraine.h")).text();
const source = (name: string) => Bun.file(join(ROOT, "bun/src", name)).text();
const defined = new Map([...header.matchAll(/^#define LORRAINE_(\w+) (-?\d+)$/gm)].map(([, name, value]) => [name!, Number(value)]));

/** Runs a C program that prints what these expressions are. */
async function inC(expressions: string[]): Promise<number[]> {
  const directory = mkdtempSync(join(tmpdir(), "lorraine-header-"));
  try {
    const prints = expressions.map(expression => `printf("%ld\\n", (long)(${expression}));`);
    const program = `#include <stdio.h>\n#include "lorraine.h"\nint main(void) { ${prints.join(" ")} }\n`;
    const file = join(directory, "layout.c");
    await Bun.write(file, program);
    const built = await run(["cc", "-I", INCLUDE, "-o", join(directory, "layout"), file]);
    expect(built.stderr).toBe("");
    return (await run([join(directory, "layout")])).stdout.trim().split("\n").map(Number);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
// Without a C compiler the layouts cannot be asked for.
const testInC = test.skipIf(Bun.which("cc") === null);

describe("numbers", () => {
  test("of events, flags and commands are the header's", () => {
    const names = Object.keys(events).filter(name => !name.endsWith("_SIZE"));
    expect(names.length).toBeGreaterThan(20);
    expect(names.map(name => [name, (events as Record<string, number>)[name]])).toEqual(names.map(name => [name, defined.get(name)]) as never);
  });

  test("of errors are the header's", () => {
    const names = Object.keys(native).filter(name => name === "AGAIN" || name.startsWith("ERROR_"));
    expect(names.length).toBeGreaterThan(8);
    expect(names.map(name => [name, (native as Record<string, unknown>)[name]])).toEqual(names.map(name => [name, defined.get(name)]));
  });

  test("of the ABI are the header's and the library's", async () => {
    const abi = defined.get("ABI_VERSION")!;
    expect(await source("native.ts")).toContain(`const ABI = 0x0001_${(abi & 0xffff).toString(16).padStart(4, "0")};`);
    expect([abi >>> 16, version.abi >>> 16]).toEqual([1, 1]);
    expect(version.abi).toBeGreaterThanOrEqual(abi);
  });

  test("of options are the header's", async () => {
    const options = await source("options.ts");
    for (const [ours, theirs] of [
      ["NO_WEBTRANSPORT", "OPTION_NO_WEBTRANSPORT"], ["RETRY_ALWAYS", "OPTION_RETRY_ALWAYS"], ["RETRY_NEVER", "OPTION_RETRY_NEVER"],
    ]) expect(options).toContain(`const ${ours} = ${defined.get(theirs!)};`);
    const [cubic, reno, bbr] = ["CUBIC", "RENO", "BBR2"].map(name => defined.get(`CONGESTION_${name}`));
    expect(options).toContain(`{ cubic: ${cubic}, reno: ${reno}, bbr: ${bbr} }`);
  });

  test("every function that is called is in the header, with as many arguments", async () => {
    const declared = new Map([...header.matchAll(/^\w[\w *]*?\b(lorraine_\w+)\(([^)]*)\);/gm)].map(([, name, list]) =>
      [name!, list!.trim() === "void" ? 0 : list!.split(",").length] as const));
    const ours = [...(await source("native.ts")).matchAll(/^ {2}(lorraine_\w+): \{ args: \[(.*?)\]/gm)];
    expect(ours.length).toBeGreaterThan(30);
    const counted = ours.map(([, name, list]) => [name!, list === "" ? 0 : list!.split(",").length]);
    expect(counted).toEqual(ours.map(([, name]) => [name!, declared.get(name!)!]));
  });
});

describe("layouts", () => {
  testInC("of events and commands", async () => {
    const expressions = [
      "sizeof(lorraine_event)", "sizeof(lorraine_command)",
      ...["kind", "flags", "handle", "parent", "route", "code", "data_length", "size"].map(field => `offsetof(lorraine_event, ${field})`),
      ...["kind", "size", "handle", "status", "flags", "headers_length", "body_length"].map(field => `offsetof(lorraine_command, ${field})`),
    ];
    // As `dispatch` and `command` in bridge.ts have them.
    expect(await inC(expressions)).toEqual([
      events.EVENT_SIZE, events.COMMAND_SIZE, 0, 4, 8, 16, 24, 28, 32, 36, 0, 4, 8, 16, 20, 24, 28,
    ]);
  });

  testInC("of options", async () => {
    const fields: Record<string, string> = {
      port: "port", hostname: "address", eventLoop: "event_loop", workers: "workers", flags: "flags", idleTimeout: "idle_timeout_ms",
      congestionControl: "congestion_control", maxConnections: "max_connections", maxSessionsPerConnection: "max_sessions",
      initialMaxStreamsBidi: "max_streams_bidi", initialMaxStreamsUni: "max_streams_uni", maxQueuedBytes: "body_window",
      maxEventBytes: "event_bytes", maxHandles: "max_handles", qlogDir: "qlog_dir", keylog: "key_log",
    };
    const offsets = await inC(["sizeof(lorraine_options)", ...Object.values(fields).map(field => `offsetof(lorraine_options, ${field})`)]);
    const options = await source("options.ts");
    expect(options).toContain(`const OPTIONS_SIZE = ${offsets[0]};`);
    for (const [n, name] of Object.keys(fields).entries()) {
      const offset = offsets[n + 1];
      expect([name, options.match(new RegExp(`(?:u32|text)\\(${offset}, [^\\n]*\\b${name}\\b`))?.length ?? 0]).toEqual([name, 1]);
    }
  });

  testInC("of metrics", async () => {
    const fields: Record<string, string> = {
      active: "connections", accepted: "connections_accepted", established: "connections_established", closed: "connections_freed",
      rejected: "connections_refused", total: "requests", sessions: "sessions", streams: "streams", datagramsIn: "datagrams_in",
      datagramsOut: "datagrams_out", datagramsDropped: "datagrams_dropped", packetsIn: "packets_in", packetsOut: "packets_out",
      bytesIn: "bytes_in", bytesOut: "bytes_out", events: "events", doorbells: "doorbells", refused: "events_refused",
      largestBatch: "largest_batch", handles: "handles", outOfHandles: "out_of_handles", badAnswers: "bad_answers",
    };
    const [size, ...offsets] = await inC([
      "sizeof(lorraine_metrics_values)", ...Object.values(fields).map(field => `offsetof(lorraine_metrics_values, ${field})`),
    ]);
    const metrics = await source("metrics.ts");
    expect(metrics).toContain(`const WORDS = ${size! / 8};`);
    for (const [n, name] of Object.keys(fields).entries()) expect(metrics).toContain(`${name}: at(${offsets[n]! / 8})`);
  });
});
