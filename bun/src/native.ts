/** Finds the native library, checks that it is the one this package was written for, and names its functions. */
import { dlopen, FFIType, type Pointer, ptr, suffix } from "bun:ffi";
import { existsSync } from "node:fs";
import { join } from "node:path";

/** What `lorraine_abi_version` must say: the same major number, and at least this minor one. */
const ABI = 0x0001_0000;

// Handles and lengths stay below 2^53, and so are numbers.
const u64 = FFIType.u64_fast;

const symbols = {
  lorraine_abi_version: { args: [], returns: "u32" },
  lorraine_version: { args: [], returns: "cstring" },
  lorraine_quiche_version: { args: [], returns: "cstring" },
  lorraine_last_error: { args: ["ptr", u64], returns: u64 },
  lorraine_release: { args: [u64], returns: "i32" },
  lorraine_new: { args: ["ptr", "ptr"], returns: "i32" },
  lorraine_route: { args: [u64, "ptr", "ptr", "u32"], returns: "i32" },
  lorraine_route_static: { args: [u64, "ptr", "ptr", "u32", "ptr", u64, "ptr", u64], returns: "i32" },
  lorraine_route_files: { args: [u64, "ptr", "ptr"], returns: "i32" },
  lorraine_route_session: { args: [u64, "ptr", "ptr", "u32"], returns: "i32" },
  lorraine_add_certificate: { args: [u64, "ptr", u64, "ptr", u64], returns: "i32" },
  lorraine_start: { args: [u64], returns: "i32" },
  lorraine_port: { args: [u64], returns: "i32" },
  lorraine_certificate_hash: { args: [u64, "ptr"], returns: "i32" },
  lorraine_reload_routes: { args: [u64], returns: "i32" },
  lorraine_reload_tls: { args: [u64], returns: "i32" },
  lorraine_stop: { args: [u64, "u32"], returns: "i32" },
  lorraine_free: { args: [u64], returns: "i32" },
  lorraine_stop_all: { args: ["u32"], returns: "i32" },
  lorraine_poll: { args: [u64, "ptr", u64, "u32"], returns: "i32" },
  lorraine_arm: { args: [u64], returns: "i32" },
  lorraine_doorbell: { args: [u64], returns: "i32" },
  lorraine_set_doorbell: { args: [u64, "ptr", "ptr"], returns: "i32" },
  lorraine_submit: { args: ["ptr", u64], returns: "i32" },
  lorraine_request_trailers: { args: [u64, "ptr", u64], returns: FFIType.i64_fast },
  lorraine_request_inform: { args: [u64, "u32", "ptr", u64], returns: "i32" },
  lorraine_respond: { args: [u64, "u32", "ptr", u64, "ptr", u64, "u32"], returns: "i32" },
  lorraine_read: { args: [u64, "ptr", u64, "ptr"], returns: FFIType.i64_fast },
  lorraine_write: { args: [u64, "ptr", u64], returns: FFIType.i64_fast },
  lorraine_finish: { args: [u64, "ptr", u64], returns: "i32" },
  lorraine_reset: { args: [u64, "u32"], returns: "i32" },
  lorraine_stop_sending: { args: [u64, "u32"], returns: "i32" },
  lorraine_session_accept: { args: [u64, "ptr", "ptr", u64], returns: "i32" },
  lorraine_session_close: { args: [u64, "u32", "ptr", u64], returns: "i32" },
  lorraine_session_drain: { args: [u64], returns: "i32" },
  lorraine_datagram_send: { args: [u64, "ptr", u64], returns: "i32" },
  lorraine_datagram_max: { args: [u64], returns: FFIType.i64_fast },
  lorraine_stream_open: { args: [u64, "u32", "ptr"], returns: "i32" },
  lorraine_stream_order: { args: [u64, "i32"], returns: "i32" },
  lorraine_id: { args: [u64], returns: FFIType.i64_fast },
  lorraine_session_stats: { args: [u64, "ptr"], returns: "i32" },
  lorraine_metrics: { args: [u64, "ptr"], returns: "i32" },
} as const;

/** What may be passed: numbers, addresses, and views, whose bytes are lent for the call. */
type Argument = number | Pointer | NodeJS.TypedArray | null;
type Library = Record<keyof typeof symbols, (...values: Argument[]) => number>;

/** Where the library may be, the first that exists is taken; and what became of each place. */
function candidates(): { path: string; why: string }[] {
  const found: { path: string; why: string }[] = [];
  const own = process.env.LORRAINE_LIB_PATH;
  if (own) return [{ path: own, why: "LORRAINE_LIB_PATH" }];
  const libc = process.platform === "linux" ? (isMusl() ? "-musl" : "-gnu") : "";
  const platform = `lorraine-${process.platform}-${process.arch}${libc}`;
  const path = packaged(platform);
  if (path === null) found.push({ path: `package ${platform}`, why: "is not installed" });
  else found.push({ path, why: `package ${platform}` });
  const build = join(import.meta.dir, "../../target/ffi", `liblorraine.${suffix}`);
  found.push({ path: build, why: "the repository's own build (make bun)" });
  return found;
}

/**
 * Where a platform's package has its library. By names that are written out, each in sight of a `try`: so `bun build
 * --compile` puts the libraries of those that are installed into the program, and passes over the others.
 */
function packaged(platform: string): string | null {
  try {
    switch (platform) {
      case "lorraine-linux-x64-gnu": return require("lorraine-linux-x64-gnu").default;
      case "lorraine-linux-arm64-gnu": return require("lorraine-linux-arm64-gnu").default;
      case "lorraine-linux-x64-musl": return require("lorraine-linux-x64-musl").default;
      case "lorraine-darwin-arm64": return require("lorraine-darwin-arm64").default;
      case "lorraine-darwin-x64": return require("lorraine-darwin-x64").default;
    }
  } catch {
    // Not installed, as most of them are not.
  }
  return null;
}

/** Whether the system's C library is musl: its loader may be there beside glibc's. */
function isMusl(): boolean {
  const musl = ["/lib/ld-musl-x86_64.so.1", "/lib/ld-musl-aarch64.so.1"].some(path => existsSync(path));
  return musl && !["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"].some(path => existsSync(path));
}

function load(): Library {
  const tried: string[] = [];
  for (const { path, why } of candidates()) {
    if (!existsSync(path)) {
      tried.push(`  ${path}: ${why}; not there`);
      continue;
    }
    try {
      // Never closed: a call after that would end the process.
      const library = dlopen(path, symbols).symbols as unknown as Library;
      const abi = library.lorraine_abi_version();
      if (abi >>> 16 === ABI >>> 16 && (abi & 0xffff) >= (ABI & 0xffff)) return library;
      tried.push(`  ${path}: ${why}; has ABI ${abi >>> 16}.${abi & 0xffff}, not ${ABI >>> 16}.${ABI & 0xffff}`);
    } catch (error) {
      tried.push(`  ${path}: ${why}; ${error instanceof Error ? error.message : error}`);
    }
  }
  throw new Error(
    `lorraine: no native library for ${process.platform}-${process.arch}. Tried:\n${tried.join("\n")}\n` +
      "Install the package for this platform, build it with `make bun`, or set LORRAINE_LIB_PATH.",
  );
}

/** The functions of the native library. */
export const native: Library = load();

/** Results below zero. */
export const AGAIN = -1;
export const ERROR_ARGUMENT = -2;
export const ERROR_HANDLE = -3;
export const ERROR_STATE = -4;
export const ERROR_RESET = -5;
export const ERROR_STOPPED = -6;
export const ERROR_CLOSED = -7;
export const ERROR_TOO_LARGE = -8;
export const ERROR_LIMIT = -10;

/** The sentence for the call that failed last. */
export function lastError(): string {
  const text = Buffer.alloc(512);
  const length = Math.min(Number(native.lorraine_last_error(text, text.length)), text.length);
  return text.toString("utf8", 0, length);
}

/** Throws what went wrong, if the result of a call says that something did. */
export function check(result: number, what: string): number {
  if (result < 0) throw new Error(`lorraine: ${what}: ${lastError()}`);
  return result;
}

const encoder = new TextEncoder();

/** A string that ends with NUL; `null` stays NULL. */
export function cstring(text: string | null): Uint8Array | null {
  if (text === null) return null;
  if (text.includes("\0")) throw new TypeError("lorraine: a string contains NUL");
  return encoder.encode(`${text}\0`);
}

/** Where a view's bytes are; valid as long as the view is held and not resized. */
export function address(view: Uint8Array | null): Pointer {
  return view === null ? (0 as Pointer) : ptr(view);
}

export const EMPTY = new Uint8Array(0);

/** The versions of what is running. */
export const version: { package: string; library: string; quiche: string; abi: number } = {
  package: "0.1.0",
  library: String(native.lorraine_version()),
  quiche: String(native.lorraine_quiche_version()),
  abi: native.lorraine_abi_version(),
};
