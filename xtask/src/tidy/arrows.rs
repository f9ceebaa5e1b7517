//! Who may know whom: the dependency arrows of the design, read from `cargo metadata`.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use super::Finding;

/// Checks every package of the workspace at `root`.
pub(super) fn check(root: &Path) -> Vec<Finding> {
    match metadata(root) {
        Ok(metadata) => check_metadata(&metadata, root),
        Err(sentence) => vec![Finding::error("Cargo.toml", 1, sentence)],
    }
}

fn metadata(root: &Path) -> Result<Value, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata is no JSON: {error}"))
}

fn check_metadata(metadata: &Value, root: &Path) -> Vec<Finding> {
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let mut findings = Vec::new();
    for package in packages {
        let name = text(package, "name");
        let manifest = Manifest::read(root, text(package, "manifest_path"));
        if !RULES.iter().any(|(ruled, _)| *ruled == name) {
            let sentence = format!("package {name} has no rule in xtask/src/tidy/arrows.rs: say whom it may know");
            findings.push(Finding::error(&manifest.path, 1, sentence));
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let (used, kind) = (text(dependency, "name"), dependency["kind"].as_str());
            if let Some(sentence) = judge(name, used, kind) {
                findings.push(Finding::error(&manifest.path, manifest.line_of(used), sentence));
            }
        }
    }
    findings
}

/// What is wrong when package `name` depends on `used`, as a dependency of `kind` ("dev", "build", or none).
fn judge(name: &str, used: &str, kind: Option<&str>) -> Option<String> {
    if used == TESTKIT {
        return (kind != Some("dev")).then(|| format!("{TESTKIT} may be a dev-dependency only"));
    }
    if let Some((_, owners)) = OWNED.iter().find(|(owned, _)| *owned == used) {
        return (!owners.contains(&name)).then(|| format!("{used} may be known to {} only", owners.join(" and ")));
    }
    if !RULES.iter().any(|(ours, _)| *ours == used) {
        return None;
    }
    let allowed = RULES.iter().find(|(ruled, _)| *ruled == name).map_or(&[][..], |(_, allowed)| *allowed);
    if allowed.contains(&used) {
        return None;
    }
    let known = if allowed.is_empty() { "none of our crates".to_owned() } else { allowed.join(", ") };
    Some(format!("{name} must not know {used}; it may know {known}"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A `Cargo.toml`, to say on which line a dependency stands.
struct Manifest {
    path: String,
    content: String,
}

impl Manifest {
    fn read(root: &Path, path: &str) -> Self {
        let content = fs::read_to_string(path).unwrap_or_default();
        let relative = Path::new(path).strip_prefix(root).unwrap_or(Path::new(path));
        Self { path: relative.to_string_lossy().replace('\\', "/"), content }
    }

    fn line_of(&self, dependency: &str) -> usize {
        let stands_here = |line: &str| {
            let rest = line.trim_start().strip_prefix(dependency);
            rest.is_some_and(|rest| rest.starts_with([' ', '=', '.']))
        };
        self.content.lines().position(stands_here).map_or(1, |index| index + 1)
    }
}

const TESTKIT: &str = "lorraine-testkit";

/// Each package of ours and the packages of ours it may depend on.
const RULES: &[(&str, &[&str])] = &[
    ("lorraine-proto", &[]),
    ("lorraine-io", &[]),
    ("lorraine-engine", &["lorraine-proto"]),
    ("lorraine", &["lorraine-engine", "lorraine-io", "lorraine-proto"]),
    ("lorraine-ffi", &["lorraine"]),
    ("lorraine-cli", &["lorraine"]),
    (TESTKIT, &[]),
    ("xtask", &[]),
];

/// Libraries that one layer hides from the others.
const OWNED: &[(&str, &[&str])] = &[
    ("quiche", &["lorraine-engine"]),
    ("boring", &["lorraine-engine"]),
    ("boring-sys", &["lorraine-engine"]),
    ("io-uring", &["lorraine-io"]),
    ("mio", &["lorraine-io"]),
    ("quinn-udp", &["lorraine-io"]),
    ("libc", &["lorraine-io", "lorraine-ffi"]),
    ("nix", &["lorraine-io", "lorraine-ffi"]),
    ("rustix", &["lorraine-io", "lorraine-ffi"]),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arrows_of_the_design_are_allowed() {
        let arrows = [
            ("lorraine-engine", "lorraine-proto"),
            ("lorraine", "lorraine-engine"),
            ("lorraine", "lorraine-io"),
            ("lorraine-cli", "lorraine"),
            ("lorraine-ffi", "lorraine"),
            ("lorraine-engine", "quiche"),
            ("lorraine-io", "mio"),
            ("lorraine-ffi", "libc"),
            ("lorraine-proto", "bytes"),
        ];
        for (name, used) in arrows {
            assert_eq!(judge(name, used, None), None, "{name} -> {used}");
        }
    }

    #[test]
    fn arrows_against_the_design_are_refused() {
        let arrows = [
            ("lorraine-proto", "lorraine-engine"),
            ("lorraine-engine", "lorraine-io"),
            ("lorraine-engine", "lorraine"),
            ("lorraine-io", "lorraine-proto"),
            ("lorraine-cli", "lorraine-engine"),
            ("lorraine", "quiche"),
            ("lorraine", "libc"),
            ("lorraine-proto", "quiche"),
            ("lorraine-testkit", "lorraine-proto"),
        ];
        for (name, used) in arrows {
            assert!(judge(name, used, None).is_some(), "{name} -> {used}");
            assert!(judge(name, used, Some("dev")).is_some(), "{name} -> {used} in tests");
        }
    }

    #[test]
    fn testkit_is_for_tests_only() {
        assert_eq!(judge("lorraine-proto", TESTKIT, Some("dev")), None);
        assert_eq!(judge("lorraine", TESTKIT, None).unwrap(), "lorraine-testkit may be a dev-dependency only");
        assert!(judge("lorraine", TESTKIT, Some("build")).is_some());
    }

    #[test]
    fn sentence_names_the_line_of_the_manifest() {
        let manifest = Manifest {
            path: "crates/proto/Cargo.toml".to_owned(),
            content: "[dependencies]\nquiche-extra = \"1\"\nquiche.workspace = true\n".to_owned(),
        };
        assert_eq!(manifest.line_of("quiche"), 3);
        assert_eq!(manifest.line_of("absent"), 1);
    }

    #[test]
    fn package_without_a_rule_is_an_error() {
        let metadata = json!({ "packages": [{ "name": "stranger", "manifest_path": "stranger/Cargo.toml" }] });
        let findings = check_metadata(&metadata, Path::new(""));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].to_string().starts_with("stranger/Cargo.toml:1: package stranger has no rule"));
    }

    #[test]
    fn forbidden_dependency_in_the_metadata_is_found() {
        let dependencies = json!([{ "name": "bytes", "kind": null }, { "name": "quiche", "kind": null }]);
        let package =
            json!({ "name": "lorraine-proto", "manifest_path": "p/Cargo.toml", "dependencies": dependencies });
        let findings = check_metadata(&json!({ "packages": [package] }), Path::new(""));
        assert_eq!(findings, [Finding::error("p/Cargo.toml", 1, "quiche may be known to lorraine-engine only")]);
    }
}
