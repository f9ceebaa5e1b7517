import { expect, test } from "bun:test";
import { join } from "node:path";
import { ROOT, run } from "./tools";

const TSC = join(ROOT, "bun/node_modules/typescript/bin/tsc");

test("package, tests and examples have no type errors, and what types.ts expects to be errors are", async () => {
  const { code, stdout } = await run([process.execPath, TSC, "--noEmit", "-p", join(ROOT, "bun")]);
  expect([code, stdout]).toEqual([0, ""]);
}, 120_000);
