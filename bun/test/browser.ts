/** Chromium, for the tests of sessions. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "bun:test";
import type { Browser, Page } from "playwright-core";
import type { Server } from "lorraine";
import { ROOT } from "./tools";

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const ARGUMENTS = [
  "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync",
  // A page that is not on this machine would have to ask before it connects to a loopback address.
  "--disable-features=LocalNetworkAccessChecksWebTransport",
  // `draining` is there with these only.
  "--enable-experimental-web-platform-features",
];
const SCRIPTS = join(ROOT, "interop/browser");
const PAGE = "<!doctype html><meta charset=utf-8><title>WebTransport</title>";

/** Tests in Chromium; skipped where it is not installed. */
export const testInBrowser = test.skipIf(CHROMIUM === undefined);
if (CHROMIUM === undefined) console.warn("skipped are tests in Chromium: it is not installed");

let browser: Promise<Browser> | undefined;

async function launched(): Promise<Browser> {
  const { chromium } = await import("playwright-core");
  return chromium.launch({ executablePath: CHROMIUM!, args: ARGUMENTS });
}

async function newPage(): Promise<Page> {
  // A test that took too long has ended it.
  if (browser === undefined || !(await browser).isConnected()) browser = launched();
  return (await browser).newPage();
}

/** A page that somebody serves; where it asks for something, it is told this. */
export async function visitPage(url: string, told: string): Promise<Page> {
  const page = await newPage();
  page.on("dialog", dialog => void dialog.accept(told));
  await page.goto(url);
  return page;
}

/** A page of this origin, which nobody serves: its files are those of the browsers' cases. */
export async function openPage(origin = "https://page.example"): Promise<Page> {
  const page = await newPage();
  await page.route(`${origin}/**`, async route => {
    const name = new URL(route.request().url()).pathname;
    if (name === "/") return route.fulfill({ contentType: "text/html", body: PAGE });
    const file = Bun.file(join(SCRIPTS, name));
    if (!(await file.exists())) return route.fulfill({ status: 404 });
    return route.fulfill({ contentType: "text/javascript", body: await file.text() });
  });
  await page.goto(`${origin}/`);
  return page;
}

export async function closeBrowser(): Promise<void> {
  if (browser !== undefined) await (await browser).close();
  browser = undefined;
}

export interface Environment {
  base: string;
  hash: string;
  wrongHash: string;
  browser: string;
}

/** What a page must know of a server. */
export function environment(server: Server<never>): Environment {
  const hash = Buffer.from(server.certificateHash().value);
  const wrong = Buffer.from(hash);
  wrong[0]! ^= 0xff;
  return {
    browser: "chromium", base: server.url.origin, hash: hash.toString("base64"), wrongHash: wrong.toString("base64"),
  };
}
