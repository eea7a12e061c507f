//! The rules themselves, as functions over data: what they are given may be made up.

/// A package of the workspace and the names of its normal and build dependencies.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<String>,
}

/// Which of our crates each of our crates may name. The binary may name all of them.
const MAY_NAME: [(&str, &[&str]); 11] = [
    (
        "leadsman",
        &[
            "leadsman-api",
            "leadsman-decode",
            "leadsman-detect",
            "leadsman-domain",
            "leadsman-engine",
            "leadsman-features",
            "leadsman-forest",
            "leadsman-kafka",
            "leadsman-sim",
            "leadsman-store",
        ],
    ),
    ("leadsman-api", &["leadsman-domain", "leadsman-engine"]),
    ("leadsman-decode", &["leadsman-domain"]),
    ("leadsman-detect", &["leadsman-domain", "leadsman-forest"]),
    ("leadsman-domain", &[]),
    ("leadsman-engine", &["leadsman-detect", "leadsman-domain"]),
    ("leadsman-features", &["leadsman-domain"]),
    ("leadsman-forest", &[]),
    ("leadsman-kafka", &["leadsman-domain"]),
    ("leadsman-sim", &["leadsman-domain"]),
    ("leadsman-store", &["leadsman-domain"]),
];

/// Heavy dependencies, by prefix of their name, and the one crate that may name them.
const OWNERS: [(&str, &str); 11] = [
    ("polars", "leadsman-features"),
    ("object_store", "leadsman"),
    ("rdkafka", "leadsman-kafka"),
    ("axum", "leadsman-api"),
    ("utoipa", "leadsman-api"),
    ("rusqlite", "leadsman-store"),
    ("tokio-postgres", "leadsman-store"),
    ("deadpool", "leadsman-store"),
    ("smartcore", "leadsman-detect"),
    ("clap", "leadsman"),
    ("anyhow", "leadsman"),
];

/// Crates that compute and do nothing else.
pub(crate) const PURE: [&str; 7] = [
    "leadsman-decode",
    "leadsman-detect",
    "leadsman-domain",
    "leadsman-engine",
    "leadsman-features",
    "leadsman-forest",
    "leadsman-sim",
];

/// Modules that may hold unsafe code: vector instructions, and a setting of the C library.
const MAY_BE_UNSAFE: [&str; 3] = [
    "crates/leadsman-decode/src/envelope/simd/",
    "crates/leadsman-forest/src/kernel/x86",
    "crates/leadsman/src/allocator.rs",
];

const IMPURE_DEPENDENCIES: [&str; 8] = ["async-std", "axum", "hyper", "rdkafka", "reqwest", "smol", "tokio", "ureq"];

const IMPURE_CODE: [&str; 8] =
    ["Instant::now", "SystemTime::now", "println!", "std::env", "std::fs", "std::net", "std::process", "thread_rng"];

/// Violations of the table of crates.
pub(crate) fn check_graph(packages: &[Package]) -> Vec<String> {
    let mut violations = Vec::new();
    for package in packages {
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == package.name) else {
            violations.push(format!("`{}` is not in the table of crates: add it with what it may name", package.name));
            continue;
        };
        let ours = package.dependencies.iter().filter(|d| d.as_str() == "leadsman" || d.starts_with("leadsman-"));
        for named in ours.filter(|named| !allowed.contains(&named.as_str())) {
            violations.push(format!("`{}` names `{named}`; it may name {}", package.name, list(allowed)));
        }
    }
    violations
}

/// Violations of the ownership of heavy dependencies.
pub(crate) fn check_owners(packages: &[Package]) -> Vec<String> {
    let mut violations = Vec::new();
    for package in packages {
        for named in &package.dependencies {
            for (prefix, owner) in OWNERS {
                if named.starts_with(prefix) && package.name != owner {
                    violations.push(format!("`{}` names `{named}`; only `{owner}` may", package.name));
                }
            }
        }
    }
    violations
}

/// Runtimes, brokers and HTTP named by crates that only compute.
pub(crate) fn check_pure_dependencies(packages: &[Package]) -> Vec<String> {
    let mut violations = Vec::new();
    for package in packages.iter().filter(|package| PURE.contains(&package.name.as_str())) {
        for named in &package.dependencies {
            let impure = IMPURE_DEPENDENCIES.iter().any(|name| named == name || named.starts_with(&format!("{name}-")));
            if impure {
                violations
                    .push(format!("`{}` names `{named}`, but it only computes: move I/O to an adapter", package.name));
            }
        }
    }
    violations
}

/// Clocks and I/O in the sources, given as path and text, of crates that only compute.
pub(crate) fn check_pure_source(path: &str, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    for (number, line) in product_lines(text) {
        for found in IMPURE_CODE.iter().filter(|word| line.contains(**word)) {
            violations
                .push(format!("{path}:{number} uses `{found}`, but this crate only computes: take it as an argument"));
        }
    }
    violations
}

/// Unsafe code in a source, given as its path in the workspace and its text, that may not have any.
pub(crate) fn check_unsafe(path: &str, text: &str) -> Vec<String> {
    if MAY_BE_UNSAFE.iter().any(|module| path.starts_with(module)) {
        return Vec::new();
    }
    let is_unsafe = |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//") && is_unsafe(line));
    lines.map(|(index, _)| format!("{path}:{} is unsafe; only {MAY_BE_UNSAFE:?} may be", index + 1)).collect()
}

/// Numbered lines that are neither comments nor test modules.
fn product_lines(text: &str) -> Vec<(usize, &str)> {
    let mut kept = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            // The item that follows ends at a `;` on its first line, or at a brace in this column.
            let close = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
            let item = lines.by_ref().map(|(_, line)| line).find(|line| !line.trim_start().starts_with("#["));
            if item.is_some_and(|item| item.trim_end().ends_with('{')) {
                lines.by_ref().take_while(|(_, line)| *line != close).for_each(drop);
            }
        } else if !line.trim_start().starts_with("//") {
            kept.push((index + 1, line));
        }
    }
    kept
}

/// Crates that must not be built, and `ndarray` built twice; `built` and what of it is built below polars hold
/// `name version` lines. The lake has an object store of its own, which polars must not know.
pub(crate) fn check_built(built: &[String], below_polars: &[String]) -> Vec<String> {
    let mut violations = Vec::new();
    for name in ["object_store", "polars-stream"] {
        if !versions(name, below_polars).is_empty() {
            violations.push(format!("`{name}` is built: a polars feature switches on its cloud stack"));
        }
    }
    let arrays = versions("ndarray", built);
    if arrays.len() > 1 {
        violations.push(format!("more than one ndarray is built ({}): cross crates with slices", arrays.join(", ")));
    }
    violations
}

/// The lines of `built` that are about the crate `name`, each once.
fn versions<'a>(name: &str, built: &'a [String]) -> Vec<&'a str> {
    let mut found: Vec<&str> =
        built.iter().filter(|line| line.split(' ').next() == Some(name)).map(String::as_str).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Words in a file that say where it was written; `machine` holds them.
pub(crate) fn check_places(path: &str, text: &str, machine: &[String]) -> Vec<String> {
    let mut violations = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for word in machine.iter().filter(|word| line.contains(word.as_str())) {
            violations.push(format!("{path}:{} contains `{word}`: it is true on one machine only", index + 1));
        }
    }
    violations
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none of our crates".to_owned() } else { format!("only {}", names.join(", ")) }
}
