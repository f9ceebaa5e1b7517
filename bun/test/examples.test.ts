/** The examples do what they say. */
import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { closeBrowser, testInBrowser, visitPage } from "./browser";
import { sha256, within } from "./tools";

const EXAMPLES = join(import.meta.dir, "../examples");

afterAll(closeBrowser);

function start(name: string) {
  const command = [process.execPath, "run", join(EXAMPLES, `${name}.ts`)];
  const env = { ...process.env, PORT: "0", PAGE_PORT: "0" };
  return Bun.spawn(command, { env, stdout: "pipe", stderr: "inherit" });
}

/** The first that an example prints. */
async function told(program: ReturnType<typeof start>): Promise<string> {
  const { value } = await program.stdout.getReader().read();
  return new TextDecoder().decode(value).trim();
}

/** Starts an example, asks it, and ends it. */
async function ask(name: string, path: string, init: RequestInit = {}): Promise<string> {
  await using program = start(name);
  const url = await told(program);
  const options = { ...init, protocol: "http3", tls: { rejectUnauthorized: false } };
  const response = await fetch(new URL(path, url), options as never);
  // Awaited here: with the end of this function the program is killed.
  return await response.text();
}

for (const [name, path, answer, init] of [
  ["hello", "/hello/w%C3%B6rld", "hello, wörld\n"],
  ["routes", "/users/1", '{"id":"1","name":"Ada"}'],
  ["bodies", "/upload", `{"bytes":5,"sha256":"${sha256("there")}"}`, { method: "POST", body: "there" }],
  ["bodies", "/echo", "back again", { method: "POST", body: "back again" }],
  ["hono", "/users/7", '{"id":"7"}'],
] as const) {
  test(`${name} answers ${path}`, async () => {
    expect(await ask(name, path, init)).toBe(answer);
  });
}

testInBrowser("chat brings what is said to both pages, and where the mouse is", async () => {
  await using program = start("chat");
  const url = /the page: (\S+),/.exec(await told(program))![1]!;
  const [ada, bob] = await Promise.all(["Ada", "Bob"].map(name => visitPage(url, name))) as [Page, Page];
  const holds = (page: Page, condition: string) => page.waitForFunction(condition, null, { polling: 50 });
  // Their sessions are open.
  await Promise.all([ada, bob].map(page => holds(page, "form.onsubmit !== null")));
  const said: string[] = [];
  for (const [page, name, text] of [[ada, "Ada", "hello"], [bob, "Bob", "grüß dich"], [ada, "Ada", "<b>bye</b>"]] as const) {
    await page.fill("#text", text);
    await page.press("#text", "Enter");
    said.push(`${name}: ${text}`);
    const log = `JSON.stringify([...log.children].map(item => item.textContent)) === ${JSON.stringify(JSON.stringify(said))}`;
    await Promise.all([ada, bob].map(page => holds(page, log)));
  }
  // Datagrams may be lost: until one came.
  const moves = async () => {
    for (let step = 0; await bob.evaluate("dot.style.left") === ""; step++) await ada.mouse.move(100 + (step % 50), 70);
    return bob.evaluate("dot.style.top");
  };
  expect(await within(moves(), "dot", 20_000)).toBe("70px");
  await Promise.all([ada.close(), bob.close()]);
}, 60_000);
