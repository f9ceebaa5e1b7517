//! Finds libev, compiles the plain C functions in front of it and links both (feature `libev`).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "libev")]
    if let Err(sentence) = libev::link() {
        println!("cargo::error={sentence}");
    }
}

#[cfg(feature = "libev")]
mod libev {
    use std::env;
    use std::path::{Path, PathBuf};

    /// The functions over `ev.h` that the Rust side calls.
    const SHIM: &str = "src/backend/libev.c";

    /// Names a prefix with `include/ev.h` and `lib/libev.a`, before all other places.
    const PREFIX_VARIABLE: &str = "LIBEV_DIR";

    /// Where packages land that the compiler does not search by itself.
    const PREFIXES: [&str; 4] = ["/usr/local", "/opt/homebrew", "/opt/local", "/usr/pkg"];

    const ABSENT: &str = "libev was not found: install libev-dev (Debian) or build with --no-default-features";

    pub(crate) fn link() -> Result<(), String> {
        println!("cargo::rerun-if-changed={SHIM}");
        println!("cargo::rerun-if-env-changed={PREFIX_VARIABLE}");
        let compiler =
            cc::Build::new().try_get_compiler().map_err(|error| format!("no C compiler for libev: {error}"))?;
        let prefix = compile_shim()?;
        let wanted: &[&str] = match env::var_os("CARGO_FEATURE_LIBEV_SHARED") {
            Some(_) => &["libev.so", "libev.dylib"],
            None => &["libev.a", "libev.so", "libev.dylib"],
        };
        let library = wanted.iter().find_map(|name| find_library(&compiler, prefix.as_deref(), name)).ok_or(ABSENT)?;
        let kind = if library.extension().is_some_and(|extension| extension == "a") { "static" } else { "dylib" };
        let folder = library.parent().ok_or(ABSENT)?;
        println!("cargo::rustc-link-search=native={}", folder.display());
        println!("cargo::rustc-link-lib={kind}=ev");
        Ok(())
    }

    /// Compiles the shim against the first `ev.h` there is; the prefix it came from, `None` for the compiler's own places.
    fn compile_shim() -> Result<Option<PathBuf>, String> {
        let named = env::var_os(PREFIX_VARIABLE).map(PathBuf::from);
        let known = PREFIXES.iter().map(PathBuf::from).filter(|prefix| prefix.join("include/ev.h").exists());
        let places = named.into_iter().map(Some).chain([None]).chain(known.map(Some));
        for prefix in places {
            let mut build = cc::Build::new();
            build.file(SHIM).cargo_warnings(false);
            if let Some(prefix) = &prefix {
                build.include(prefix.join("include"));
            }
            if build.try_compile("lorraine_libev").is_ok() {
                return Ok(prefix);
            }
        }
        Err(ABSENT.into())
    }

    fn find_library(compiler: &cc::Tool, prefix: Option<&Path>, name: &str) -> Option<PathBuf> {
        let beside_header = prefix.map(|prefix| prefix.join("lib").join(name)).filter(|path| path.exists());
        beside_header.or_else(|| ask_compiler(compiler, name))
    }

    /// The compiler knows the library folders of the target; it answers with the bare name when there is no such file.
    fn ask_compiler(compiler: &cc::Tool, name: &str) -> Option<PathBuf> {
        let output = compiler.to_command().arg(format!("-print-file-name={name}")).output().ok()?;
        let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        // The folder only: a link may lead to a file of another name.
        let folder = path.parent().filter(|_| path.is_absolute())?.canonicalize().ok()?;
        Some(folder.join(name))
    }
}
