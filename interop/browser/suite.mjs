// What both WebTransport suites share: the command line, the pages that the cases run in, and the report.
// A suite prints one line of JSON for each case: {name, verdict: "ok" | "fail" | "skip", detail, seconds}.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { visitDemoPage } from "./demo-page.mjs";
import { cases } from "./wt-cases.js";

const CASE_MS = 120_000;
const PAGE = "<!doctype html><meta charset=utf-8><title>WebTransport cases</title>";
const SCRIPTS = new Set(["/wt-cases.js", "/wt-tools.js", "/expectations.js"]);
// Cases of a page that is not on http://localhost. Nobody serves it: the driver answers for it.
const ORIGINS = { allowed_origin: "https://allowed.example" };

/** What a suite is told: the browser, and either the server with its certificate's hash, or the demo's page. */
export function readArguments() {
  const { values } = parseArgs({
    options: {
      browser: { type: "string" },
      base: { type: "string" },
      hash: { type: "string" },
      case: { type: "string", multiple: true, default: Object.keys(cases) },
      page: { type: "string" },
      screenshot: { type: "string", default: "page.png" },
    },
  });
  if (!values.browser || !(values.page || (values.base && values.hash))) {
    const cases = "--base https://127.0.0.1:PORT --hash BASE64 [--case NAME ...]";
    throw new Error(`usage: --browser PATH (${cases} | --page URL [--screenshot FILE])`);
  }
  return values;
}

/**
 * Runs what the arguments say, each case in a page of its own. `openPage(name)` gives a page of Playwright's or
 * Puppeteer's; `answerFor(page, origin, answer)` lets `answer(path)` serve what the page asks of that origin.
 */
export async function run({ name: browser, values, openPage, answerFor }) {
  if (values.page) {
    await report("page", visitDemoPage({ openPage, url: values.page, screenshot: values.screenshot }));
    return;
  }
  const { base, hash } = values;
  const environment = { browser, base, hash, wrongHash: wrongHash(hash) };
  const server = await serve();
  const runCase = async (name) => {
    const page = await openPage(name);
    try {
      if (ORIGINS[name]) await answerFor(page, ORIGINS[name], answer);
      await page.goto(`${ORIGINS[name] ?? server.origin}/`);
      return await page.evaluate(inPage, { name, environment });
    } finally {
      // A page that hangs must not hold up the others.
      page.close().catch(() => {});
    }
  };
  for (const name of values.case) await report(name, runCase(name));
  server.close();
}

async function report(name, running) {
  const began = performance.now();
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve({ verdict: "fail", detail: `not done after ${CASE_MS} ms` }), CASE_MS);
  });
  const failed = (error) => ({ verdict: "fail", detail: error.message });
  const outcome = await Promise.race([running.catch(failed), late]);
  clearTimeout(timer);
  console.log(JSON.stringify({ name, seconds: (performance.now() - began) / 1_000, ...outcome }));
}

// A certificate hash that no certificate has.
function wrongHash(hash) {
  const bytes = Buffer.from(hash, "base64");
  bytes[0] ^= 0xff;
  return bytes.toString("base64");
}

// Runs in the page; what is known of the browser is looked up there, since functions cannot travel.
async function inPage({ name, environment }) {
  const { run } = await import("/wt-cases.js");
  const { expectations } = await import("/expectations.js");
  return run(name, { ...environment, expect: expectations[environment.browser] });
}

// WebTransport wants a secure context: http://localhost is one.
async function serve() {
  const server = createServer(async (request, response) => {
    const { status, contentType, body } = await answer(request.url);
    response.writeHead(status, { "content-type": contentType }).end(body);
  });
  await new Promise((resolve) => server.listen(0, "localhost", resolve));
  return { origin: `http://localhost:${server.address().port}`, close: () => server.close() };
}

async function answer(path) {
  if (path === "/") return { status: 200, contentType: "text/html", body: PAGE };
  if (!SCRIPTS.has(path)) return { status: 404, contentType: "text/plain", body: "" };
  return { status: 200, contentType: "text/javascript", body: await readFile(new URL(`.${path}`, import.meta.url)) };
}
