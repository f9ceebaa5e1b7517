/** How the package finds its library, and how programs are loaded again: in processes of their own. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { h3, ROOT, run, until } from "./tools";

const directory = mkdtempSync(join(tmpdir(), "lorraine-loading-"));
afterAll(() => rmSync(directory, { recursive: true }));
const PACKAGE = join(ROOT, "bun/src/index.ts");

describe("library", () => {
  const load = (path: string) => run([process.execPath, "-e", `import(${JSON.stringify(PACKAGE)})`], { env: { LORRAINE_LIB_PATH: path } });

  test("that is missing is named, with what else to do", async () => {
    const { code, stderr } = await load("/no/such/liblorraine.so");
    expect(code).toBe(1);
    for (const words of ["no native library", "/no/such/liblorraine.so: LORRAINE_LIB_PATH; not there", "make bun"]) {
      expect(stderr).toContain(words);
    }
  });

  test("that is no library is named", async () => {
    const path = join(directory, "text.so");
    await Bun.write(path, "no library");
    const { code, stderr } = await load(path);
    expect([code, stderr]).toEqual([1, expect.stringContaining(`${path}: LORRAINE_LIB_PATH; `)]);
  });

  const compiler = Bun.which("cc");
  test.skipIf(compiler === null)("of another ABI is named, with both versions (skipped without a C compiler)", async () => {
    const native = await Bun.file(join(ROOT, "bun/src/native.ts")).text();
    const names = [...native.matchAll(/^ {2}(lorraine_\w+): \{ args/gm)].map(match => match[1]!);
    expect(names.length).toBeGreaterThan(30);
    const source = names.map(name => `unsigned ${name}(void) { return ${name === "lorraine_abi_version" ? "0x00020003" : "0"}; }`);
    await Bun.write(join(directory, "other.c"), source.join("\n"));
    const path = join(directory, "other.so");
    const built = await run([compiler!, "-shared", "-fPIC", "-o", path, join(directory, "other.c")]);
    expect(built.code).toBe(0);
    const { code, stderr } = await load(path);
    expect([code, stderr]).toEqual([1, expect.stringContaining(`${path}: LORRAINE_LIB_PATH; has ABI 2.3, not 1.0`)]);
  });

  test("without functions of the header is named", async () => {
    const { code, stderr } = await load("/lib/x86_64-linux-gnu/libc.so.6");
    expect(code).toBe(1);
    expect(stderr).toContain("Tried:\n  /lib/x86_64-linux-gnu/libc.so.6: LORRAINE_LIB_PATH; ");
  });

  test("is looked for in the packages of all platforms that there are packages for", async () => {
    const [maker, loader] = await Promise.all(["scripts/package.ts", "src/native.ts"].map(path => Bun.file(join(ROOT, "bun", path)).text()));
    const made = /const platforms = \[(.*)\]/.exec(maker!)![1]!.split(", ").map(name => JSON.parse(name));
    expect(made.length).toBeGreaterThan(4);
    const looked = [...loader!.matchAll(/case "lorraine-(\S+)": return require\("lorraine-(\S+)"\)\.default;/g)];
    expect(looked.flatMap(([, name, required]) => [name!, required!])).toEqual(made.flatMap(name => [name, name]));
  });

  test("is loaded without a word", async () => {
    const { code, stdout, stderr } = await run([process.execPath, "-e", `import(${JSON.stringify(PACKAGE)}).then(() => {})`]);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "", stderr: "" });
  });
});

describe("bun --hot", () => {
  test("exchanges the routes of the running server when the program changes, and its port stays", async () => {
    const program = join(directory, "hot.ts");
    const text = (word: string, port: number) => `
      import { serve } from ${JSON.stringify(PACKAGE)};
      const server = serve({ id: "hot", port: ${port}, hostname: "127.0.0.1", routes: { "/": () => ${JSON.stringify(word)} } });
      console.log(server.url.href);
    `;
    await Bun.write(program, text("first", 0));
    const child = Bun.spawn([process.execPath, "--hot", "--no-clear-screen", program], { stdout: "pipe", stderr: "inherit" });
    let told = "";
    void (async () => {
      for await (const piece of child.stdout) told += Buffer.from(piece).toString();
    })();
    const urls = () => told.split("\n").slice(0, -1);
    try {
      await until(() => urls().length >= 1, "start");
      const url = urls()[0]!;
      const ask = async () => (await h3(url)).text();
      expect(await ask()).toBe("first");
      for (const word of ["second", "third"]) {
        const before = urls().length;
        await Bun.write(program, text(word, 0));
        await until(() => urls().length > before, `the ${word} program`);
        // A file that is looked at while it is being written is run more than once.
        await until(async () => (await ask()) === word, `the ${word} answer`);
        expect(new Set(urls())).toEqual(new Set([url]));
      }
    } finally {
      child.kill();
      await child.exited;
    }
  });

  test("knows a server without an id by its port", async () => {
    const program = join(directory, "port.ts");
    // The system's choice, which stays free for a moment.
    const { serve } = await import("lorraine");
    const other = serve({ port: 0, hostname: "127.0.0.1" });
    const { port } = other;
    await other.stop(true);
    const text = (word: string) => `
      import { serve } from ${JSON.stringify(PACKAGE)};
      serve({ port: ${port}, hostname: "127.0.0.1", fetch: () => ${JSON.stringify(word)} });
      console.log("up");
    `;
    await Bun.write(program, text("first"));
    const child = Bun.spawn([process.execPath, "--hot", "--no-clear-screen", program], { stdout: "pipe", stderr: "inherit" });
    let told = "";
    void (async () => {
      for await (const piece of child.stdout) told += Buffer.from(piece).toString();
    })();
    const ups = () => told.split("up\n").length - 1;
    const ask = async () => (await h3(`https://127.0.0.1:${port}/`)).text();
    try {
      await until(() => ups() >= 1, "start");
      expect(await ask()).toBe("first");
      const before = ups();
      await Bun.write(program, text("second"));
      await until(() => ups() > before, "the second program");
      await until(async () => (await ask()) === "second", "the second answer");
    } finally {
      child.kill();
      await child.exited;
    }
  // Another program may have taken the port in that moment.
  }, { timeout: 120_000, retry: 3 });
});
