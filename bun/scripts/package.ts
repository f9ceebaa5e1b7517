/**
 * Makes what `bun add` installs: dist/lorraine-VERSION.tgz, and the package with the native library for this platform,
 * which the first names among its optional dependencies. Neither has a script that runs at installation.
 */
import { $ } from "bun";
import { suffix } from "bun:ffi";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dir, "../..");
const own = join(root, "bun");
const dist = join(own, "dist");
const library = join(root, "target/ffi", `liblorraine.${suffix}`);
if (!existsSync(library)) throw new Error(`${library} is not there: run scripts/ffi build first`);

const manifest = JSON.parse(readFileSync(join(own, "package.json"), "utf8"));
const { version, license } = manifest;
const libc = process.platform === "linux" ? (isMusl() ? "musl" : "gnu") : null;
const platform = ["lorraine", process.platform, process.arch, libc].filter(part => part !== null).join("-");

/** As in src/native.ts, which looks for the package. */
function isMusl(): boolean {
  const musl = ["/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1"].some(path => existsSync(path));
  return musl && !["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"].some(path => existsSync(path));
}

/** Platforms that packages are made for, each on a machine of its own. */
const platforms = ["linux-x64-gnu", "linux-arm64-gnu", "linux-x64-musl", "darwin-arm64", "darwin-x64"];

function lay(name: string, content: object): string {
  const folder = join(dist, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(content, null, 2)}\n`);
  for (const text of ["LICENSE-MIT", "LICENSE-APACHE"]) copyFileSync(join(root, text), join(folder, text));
  return folder;
}

async function pack(folder: string): Promise<string> {
  const packed = await $`${process.execPath} pm pack --quiet --destination ${dist}`.cwd(folder).text();
  return packed.trim().split("\n").at(-1)!;
}

const native = lay(platform, {
  name: platform,
  version,
  description: `The native library of lorraine for ${process.platform}-${process.arch}.`,
  license,
  os: [process.platform],
  cpu: [process.arch],
  ...(libc === null ? {} : { libc: [libc === "gnu" ? "glibc" : "musl"] }),
  type: "module",
  exports: { ".": "./index.js", "./package.json": "./package.json" },
  files: [`liblorraine.${suffix}`, "index.js"],
  preferUnplugged: true,
});
copyFileSync(library, join(native, `liblorraine.${suffix}`));
// The path, which in a program that `bun build --compile` made leads into the program.
const index = `import path from "./liblorraine.${suffix}" with { type: "file" };\nexport default path;\n`;
writeFileSync(join(native, "index.js"), index);
// Symbols of its own are for those who build it; the exports stay.
if (process.platform === "linux") await $`strip --strip-unneeded ${join(native, `liblorraine.${suffix}`)}`;

const main = lay("lorraine", {
  ...Object.fromEntries(Object.entries(manifest).filter(([key]) => key !== "devDependencies" && key !== "scripts")),
  optionalDependencies: Object.fromEntries(platforms.map(name => [`lorraine-${name}`, version])),
});
await $`cp -r ${join(own, "src")} ${join(own, "README.md")} ${main}`;

for (const folder of [native, main]) console.log(`made ${await pack(folder)}`);
