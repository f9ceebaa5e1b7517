/** The examples do what they say. The chat needs two browsers and a port of its own, and is not run here. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { sha256 } from "./tools";

const EXAMPLES = join(import.meta.dir, "../examples");

/** Starts an example, asks it, and ends it. */
async function ask(name: string, path: string, init: RequestInit = {}): Promise<string> {
  const command = [process.execPath, "run", join(EXAMPLES, `${name}.ts`)];
  await using program = Bun.spawn(command, { env: { ...process.env, PORT: "0" }, stdout: "pipe", stderr: "inherit" });
  const { value } = await program.stdout.getReader().read();
  const url = new TextDecoder().decode(value).trim();
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
