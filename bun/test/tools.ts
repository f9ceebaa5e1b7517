/** What the tests share: clients, waits with a deadline, bytes with a known hash. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, test } from "bun:test";
import { type H3Request, serve } from "lorraine";

export const ROOT = join(import.meta.dir, "../..");
/** The long forms of the tests are wanted. */
export const FULL = process.env.LORRAINE_FULL === "1";
const CLIENT = join(ROOT, "target/release/lorraine");

/** Tests with the native client; skipped where it is not built. */
export const testWithClient = test.skipIf(!existsSync(CLIENT));
if (!existsSync(CLIENT)) console.warn(`skipped are tests with the native client: ${CLIENT} is not built`);

/** Others may use the machine; what comes at all comes at once otherwise. */
const WAIT_MS = 40_000;

type Init = RequestInit & { duplex?: "half" };

/** Bun's own HTTP/3 client, which takes any certificate. */
export function h3(url: URL | string, init: Init = {}): Promise<Response> {
  const own = { protocol: "http3", tls: { rejectUnauthorized: false } };
  return fetch(url instanceof URL ? url.href : url, { ...init, ...own } as RequestInit);
}

export interface Output {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end. */
export async function run(command: string[], options: { env?: Record<string, string>; stdin?: string } = {}): Promise<Output> {
  await using child = Bun.spawn(command, {
    stdin: Buffer.from(options.stdin ?? ""), stdout: "pipe", stderr: "pipe", env: { ...process.env, ...options.env },
  });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, stdout, stderr };
}

/** `lorraine get --insecure` with these arguments. */
export function get(...args: string[]): Promise<Output> {
  return run([CLIENT, "get", "--insecure", ...args]);
}

export function client(...args: string[]): string[] {
  return [CLIENT, ...args];
}

/** What `lorraine get -i` printed, in parts. */
export function parse(stdout: string): { status: number; headers: [string, string][]; body: string } {
  const blank = stdout.indexOf("\n\n");
  const head = (blank < 0 ? stdout : stdout.slice(0, blank)).split("\n");
  const status = Number(/\d{3}/.exec(head[0]!)?.[0]);
  const headers = head.slice(1).filter(line => line !== "").map(line => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()] as [string, string];
  });
  return { status, headers, body: blank < 0 ? "" : stdout.slice(blank + 2) };
}

/** The promise's value, or an error that says what did not come. */
export async function within<T>(promise: Promise<T>, what: string, milliseconds = WAIT_MS): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing after ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer!);
  }
}

/** Waits until something holds, for what no event tells. */
export async function until(holds: () => boolean | Promise<boolean>, what: string, milliseconds = WAIT_MS): Promise<void> {
  const end = performance.now() + milliseconds;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`${what}: not after ${milliseconds} ms`);
    await Bun.sleep(5);
  }
}

/** Waits until a number has stayed the same for a while, and gives it. */
export async function settled(read: () => number, quiet = 300, milliseconds = WAIT_MS): Promise<number> {
  const end = performance.now() + milliseconds;
  let last = read();
  let since = performance.now();
  while (performance.now() - since < quiet) {
    if (performance.now() > end) throw new Error("it goes on and on");
    await Bun.sleep(10);
    const now = read();
    if (now !== last) [last, since] = [now, performance.now()];
  }
  return last;
}

/** Bytes that differ from one seed to another. */
export function pattern(length: number, seed = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index++) bytes[index] = (index * 7919 + seed * 104_729) >> 4;
  return bytes;
}

export function sha256(bytes: Uint8Array | string): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

export const MIB = 1 << 20;

/** Resident memory of this process, bytes. */
export function rss(): number {
  return process.memoryUsage.rss();
}

/** Fails with what the console was told, where nothing should be. */
export function errorsTold(): { told: unknown[]; [Symbol.dispose](): void } {
  const own = console.error;
  const told: unknown[] = [];
  console.error = (...values: unknown[]) => void told.push(values[0]);
  return { told, [Symbol.dispose]() { console.error = own; } };
}

/** `lorraine wt --insecure`, with these lines as its input; it leaves as soon as they are done. */
export function talk(url: URL | string, lines: string[], ...args: string[]): Promise<Output> {
  return run(client("wt", "--insecure", "--linger", "0", ...args, String(url)), { stdin: lines.map(line => `${line}\n`).join("") });
}

/** As {@link talk}, but waits for the server to end the session. */
export function listen(url: URL | string, lines: string[] = [], ...args: string[]): Promise<Output> {
  return run(client("wt", "--insecure", "--linger", "60", ...args, String(url)), { stdin: lines.map(line => `${line}\n`).join("") });
}

/** `lorraine wt` that stays until the session ends; what it tells can be waited for. */
export function visit(url: URL | string, ...args: string[]) {
  const child = Bun.spawn(client("wt", "--insecure", "--linger", "60", ...args, String(url)), {
    stdin: "pipe", stdout: "pipe", stderr: "ignore",
  });
  let told = "";
  const ended = (async () => {
    for await (const piece of child.stdout) told += Buffer.from(piece).toString();
    await child.exited;
    return told;
  })();
  return {
    say(...lines: string[]) {
      child.stdin.write(lines.map(line => `${line}\n`).join(""));
      child.stdin.flush();
    },
    async heard(words: string | RegExp): Promise<void> {
      const has = () => (typeof words === "string" ? told.includes(words) : words.test(told));
      await until(has, `${words} of ${JSON.stringify(told)}`);
    },
    ended,
    kill() {
      child.kill("SIGKILL");
      return child.exited;
    },
  };
}

/** What a server of {@link answering} does next. */
interface Next {
  answer: (request: H3Request) => Response | string | Promise<Response | string>;
  upgrade: (request: H3Request) => unknown;
}

/** A server, until the end of the file, that answers each request as the test says just then. */
export function answering(options: { maxRequestBodySize?: number } = {}) {
  const next: Next = { answer: () => "none", upgrade: () => undefined };
  const server = serve({
    port: 0,
    hostname: "127.0.0.1",
    webtransport: { upgrade: request => void next.upgrade(request) },
    fetch: request => next.answer(request),
    ...options,
  });
  afterAll(() => server.stop(true));
  return { server, next };
}
