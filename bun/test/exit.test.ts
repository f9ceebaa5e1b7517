/** How programs and workers with servers end: in processes of their own, by their exit codes. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { FULL, h3, run } from "./tools";

const PROGRAM = join(import.meta.dir, "life-server.ts");
const live = (name: string, ...more: string[]) => run([process.execPath, PROGRAM, name, ...more]);

describe("program", () => {
  test("process.exit in the middle of requests ends with its code", async () => {
    for (let n = 0; n < (FULL ? 20 : 3); n++) expect(await live("exit")).toMatchObject({ code: 7, stderr: "" });
  });

  test("with an unreferenced server ends when nothing else is to be done", async () => {
    expect(await live("unref")).toEqual({ code: 0, stdout: "the last timer\n", stderr: "" });
  });

  test("with a referenced server stays, and SIGTERM ends it", async () => {
    const child = Bun.spawn([process.execPath, PROGRAM, "held"], { stdout: "pipe" });
    const { value } = await child.stdout.getReader().read();
    expect(await (await h3(Buffer.from(value!).toString().trim())).text()).toBe("hello");
    expect(child.exitCode).toBe(null);
    child.kill("SIGTERM");
    await child.exited;
    expect(child.signalCode).toBe("SIGTERM");
  });

  test("ends by itself when its server has stopped", async () => {
    expect(await live("naturally")).toEqual({ code: 0, stdout: "hello\nstopped\n", stderr: "" });
  });

  test("stop(true) under load comes to its end", async () => {
    expect(await live("stopped")).toEqual({ code: 0, stdout: "stopped\n", stderr: "" });
  });

  test("error that nobody catches ends it with code 1, not with a crash", async () => {
    const { code, stderr } = await live("uncaught");
    expect(code).toBe(1);
    expect(stderr).toContain("nobody catches this");
  });
});

describe("worker", () => {
  const times = "20";

  test(`with a server is terminated ${times} times without a crash`, async () => {
    expect(await live("terminated", times)).toEqual({ code: 0, stdout: "done\n", stderr: "" });
  }, 120_000);

  test(`with a server exits ${times} times in the middle of requests without a crash`, async () => {
    expect(await live("exiting", times)).toEqual({ code: 0, stdout: "done\n", stderr: "" });
  }, 120_000);

  test("that exits leaves the servers of other threads alone", async () => {
    expect(await live("beside")).toEqual({ code: 0, stdout: "hello\n", stderr: "" });
  });

  test("may be the first to load the library, and end before others use it", async () => {
    const first = join(import.meta.dir, "life-first.ts");
    expect(await run([process.execPath, first])).toEqual({ code: 0, stdout: "done\n", stderr: "" });
  });
});
