/** The cases that browsers run against every server of this repository, against this one. */
import { afterAll, describe, expect } from "bun:test";
import { join } from "node:path";
import { closeBrowser, environment, openPage, testInBrowser } from "./browser";
import { demoSessions, type End } from "./demo-sessions";
import { ROOT, until } from "./tools";

const { cases } = (await import(join(ROOT, "interop/browser/wt-cases.js"))) as { cases: Record<string, unknown> };
const ends: End[] = [];
const server = demoSessions(ends);
afterAll(async () => {
  await closeBrowser();
  await server.stop(true);
});

/** Chromium sometimes forgets the code of a stop: the frames on the wire are the same then. */
const FORGETFUL = new Set(["stop_by_the_client", "stop_by_the_server"]);

/** It also never shows a stream that was reset before it got round to it, as on a machine that is busy. */
const RETRIED = new Set([...FORGETFUL, "reset_by_the_server"]);

/** From pages of other origins. */
const ORIGINS: Record<string, string> = { allowed_origin: "https://allowed.example" };

describe("in Chromium", () => {
  for (const name of Object.keys(cases)) {
    testInBrowser(name, async () => {
      ends.length = 0;
      const page = await openPage(ORIGINS[name]);
      try {
        const outcome = await page.evaluate(`(async () => {
          const { run } = await import("/wt-cases.js");
          const { expectations } = await import("/expectations.js");
          return run(${JSON.stringify(name)}, { ...${JSON.stringify(environment(server as never))}, expect: expectations.chromium });
        })()`) as { verdict: string; detail?: string };
        // Judged by the code on the wire in interop/, whose clients do not forget it.
        const isForgotten = FORGETFUL.has(name) && outcome.detail?.includes('["NetworkError",null] came');
        if (isForgotten) console.log(`${name}: Chromium forgot the code of the stop`);
        else expect([outcome.verdict, outcome.detail]).toEqual(["ok", outcome.detail]);
        if (name === "close_by_the_client") {
          await until(() => ends.length > 0, "end of the session");
          expect(ends).toEqual([{ closeCode: 7_777, reason: "enough of it" }]);
        }
      } finally {
        await page.close();
      }
      // What a page leaves behind, the server hears of at once, or when its silence has lasted.
      await until(() => server.pendingSessions === 0, "end of every session");
    }, { timeout: 120_000, retry: RETRIED.has(name) ? 4 : 2 });
  }
});
