// What both WebTransport suites share: the command line, the page's own server, the run of the cases and their report.
// A suite prints one line of JSON for each case: {name, verdict: "ok" | "fail" | "skip", detail, seconds}.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { cases } from "./wt-cases.js";

const CASE_MS = 60_000;
const PAGE = "<!doctype html><meta charset=utf-8><title>WebTransport cases</title>";
const SCRIPTS = new Set(["/wt-cases.js", "/wt-tools.js", "/expectations.js"]);

/** What a suite is told: where the server is, and what its certificate's hash is. */
export function readArguments() {
  const { values } = parseArgs({
    options: {
      browser: { type: "string" },
      base: { type: "string" },
      hash: { type: "string" },
      case: { type: "string", multiple: true, default: Object.keys(cases) },
    },
  });
  for (const name of ["browser", "base", "hash"]) {
    if (!values[name]) throw new Error(`--${name} is missing: --browser PATH --base https://127.0.0.1:PORT --hash BASE64 [--case NAME]`);
  }
  return values;
}

/** Runs the cases, each in a page of its own: `newPage()` gives one with goto(), evaluate() and close(). */
export async function runCases({ names, newPage, environment }) {
  const server = await serve();
  try {
    for (const name of names) report({ name, ...(await runCase(server.origin, name, newPage, environment)) });
  } finally {
    server.close();
  }
}

export function report(line) {
  console.log(JSON.stringify(line));
}

/** A certificate hash that no certificate has. */
export function wrongHash(hash) {
  const bytes = Buffer.from(hash, "base64");
  bytes[0] ^= 0xff;
  return bytes.toString("base64");
}

async function runCase(origin, name, newPage, environment) {
  const page = await newPage();
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve({ verdict: "fail", detail: `not done after ${CASE_MS} ms` }), CASE_MS);
  });
  const visit = async () => {
    await page.goto(origin);
    return page.evaluate(inPage, { name, environment });
  };
  try {
    return await Promise.race([visit(), late]);
  } catch (error) {
    return { verdict: "fail", detail: `the browser failed: ${error.message}` };
  } finally {
    clearTimeout(timer);
    // A page that hangs must not hold up the others.
    page.close().catch(() => {});
  }
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
    if (!SCRIPTS.has(request.url)) {
      response.writeHead(request.url === "/" ? 200 : 404, { "content-type": "text/html" });
      response.end(request.url === "/" ? PAGE : "");
      return;
    }
    response.writeHead(200, { "content-type": "text/javascript" });
    response.end(await readFile(new URL(`.${request.url}`, import.meta.url)));
  });
  await new Promise((resolve) => server.listen(0, "localhost", resolve));
  return { origin: `http://localhost:${server.address().port}/`, close: () => server.close() };
}
