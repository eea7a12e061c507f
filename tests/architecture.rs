//! The invariants of the architecture, and proof that each check can fail.

mod rules;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rules::{
    PURE, Package, check_built, check_graph, check_owners, check_places, check_pure_dependencies, check_pure_source,
    check_unsafe,
};
use serde_json::Value;

use crate::support::{Case, Result, data, environment, workspace};

pub(crate) const CASES: &[Case] = &[
    Case { name: "architecture::crates_name_only_what_the_table_allows", needs: &[], run: graph },
    Case { name: "architecture::heavy_dependencies_have_one_owner", needs: &[], run: owners },
    Case { name: "architecture::computing_crates_name_no_runtime", needs: &[], run: pure_dependencies },
    Case { name: "architecture::computing_crates_use_no_clock_and_no_io", needs: &[], run: pure_sources },
    Case { name: "architecture::no_cloud_stack_and_one_ndarray_are_built", needs: &[], run: built },
    Case { name: "architecture::unsafe_code_stands_where_it_may", needs: &[], run: unsafe_code },
    Case { name: "architecture::files_name_no_machine", needs: &[], run: places },
    Case { name: "architecture::checks_of_crates_can_fail", needs: &[], run: crate_checks_can_fail },
    Case { name: "architecture::checks_of_sources_can_fail", needs: &[], run: source_checks_can_fail },
];

fn graph() -> Result<()> {
    verdict(&check_graph(&packages()?))
}

fn owners() -> Result<()> {
    verdict(&check_owners(&packages()?))
}

fn pure_dependencies() -> Result<()> {
    verdict(&check_pure_dependencies(&packages()?))
}

fn pure_sources() -> Result<()> {
    let mut violations = Vec::new();
    for name in PURE {
        let source = workspace().join("crates").join(name).join("src");
        let files = rust_files(&source)?;
        assert!(!files.is_empty(), "no sources of {name}");
        for file in files {
            violations.extend(check_pure_source(&file.display().to_string(), &fs::read_to_string(&file)?));
        }
    }
    verdict(&violations)
}

fn unsafe_code() -> Result<()> {
    let mut violations = Vec::new();
    let files = rust_files(&workspace().join("crates"))?;
    assert!(files.len() > 100, "no sources");
    for file in files {
        let path = file.strip_prefix(workspace())?.display().to_string();
        violations.extend(check_unsafe(&path, &fs::read_to_string(&file)?));
    }
    verdict(&violations)
}

fn built() -> Result<()> {
    let built = |of: &[&str]| -> Result<Vec<String>> {
        let tree = cargo(&[&["tree", "--locked", "-e", "normal", "--prefix", "none", "-f", "{p}"], of].concat())?;
        let lines = tree.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "));
        let built: Vec<String> = lines.collect();
        assert!(built.iter().any(|line| line.starts_with("leadsman-domain ")), "cargo tree shows nothing");
        Ok(built)
    };
    verdict(&check_built(&built(&["--workspace"])?, &built(&["-p", "leadsman-features"])?))
}

fn places() -> Result<()> {
    let listed = output(
        Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(workspace()),
    )?;
    let machine = machine_words()?;
    let mut violations = Vec::new();
    for path in listed.lines().filter(|path| *path != "Cargo.lock") {
        // A file deleted in the work tree is still listed.
        let Ok(bytes) = fs::read(workspace().join(path)) else { continue };
        violations.extend(check_places(path, &String::from_utf8_lossy(&bytes), &machine));
    }
    verdict(&violations)
}

/// Registry hosts, which mirrors replace, and directories of this machine. Put together here so that this
/// file passes its own check.
fn machine_words() -> Result<Vec<String>> {
    let mut words: Vec<String> = [
        ("index.", "crates.io"),
        ("static.", "crates.io"),
        ("repo.maven.", "apache.org"),
        ("repo1.maven.", "org"),
        ("files.", "pythonhosted.org"),
        ("registry.", "npmjs.org"),
        ("proxy.", "golang.org"),
        ("arti", "factory"),
    ]
    .map(|(a, b)| format!("{a}{b}"))
    .to_vec();
    let mut places = vec![workspace().canonicalize()?];
    // What lies beside the data sets is of this machine, too.
    places.extend(data::root().canonicalize().ok().and_then(|sets| sets.parent().map(Path::to_owned)));
    places.extend(environment("HOME").map(|home| Path::new(&home).join(".cargo")));
    places.extend(environment("CARGO_HOME").map(PathBuf::from));
    // Not for a checkout at `/app` or the like: such words occur for good reasons.
    let telling = places.iter().filter(|place| place.components().count() > 2);
    words.extend(telling.map(|place| place.display().to_string()));
    Ok(words)
}

fn crate_checks_can_fail() -> Result<()> {
    let package = |name: &str, dependency: &str| {
        [Package { name: name.to_owned(), dependencies: vec!["serde".to_owned(), dependency.to_owned()] }]
    };
    assert_eq!(
        check_owners(&package("leadsman-api", "polars")),
        ["`leadsman-api` names `polars`; only `leadsman-features` may"]
    );
    assert_eq!(check_owners(&package("leadsman-engine", "polars-core")).len(), 1);
    assert!(check_owners(&package("leadsman-features", "polars")).is_empty());
    assert_eq!(
        check_graph(&package("leadsman-kafka", "leadsman-store")),
        ["`leadsman-kafka` names `leadsman-store`; it may name only leadsman-domain"]
    );
    assert_eq!(check_graph(&package("leadsman-forest", "leadsman-domain")).len(), 1);
    assert_eq!(check_graph(&package("leadsman-new", "serde")).len(), 1);
    assert!(check_graph(&package("leadsman-engine", "leadsman-detect")).is_empty());
    assert_eq!(check_pure_dependencies(&package("leadsman-engine", "tokio")).len(), 1);
    assert_eq!(check_pure_dependencies(&package("leadsman-engine", "tokio-stream")).len(), 1);
    assert!(check_pure_dependencies(&package("leadsman-store", "tokio")).is_empty());

    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let built = |all: &[&str], below_polars: &[&str]| check_built(&lines(all), &lines(below_polars)).len();
    assert_eq!(built(&["ndarray v0.16.1", "ndarray v0.17.2"], &[]), 1);
    assert_eq!(built(&["ndarray v0.16.1", "ndarray v0.16.1", "ndarray-rand v0.15.0"], &[]), 0);
    assert_eq!(built(&["object_store v0.13.2"], &[]), 0);
    assert_eq!(built(&[], &["object_store v0.12.0", "polars-stream v0.55.2"]), 2);
    assert_eq!(check_owners(&package("leadsman-features", "object_store")).len(), 1);
    Ok(())
}

fn source_checks_can_fail() -> Result<()> {
    let found = |text: &str| check_pure_source("a.rs", text);
    assert_eq!(
        found("fn f() {}\nlet now = Instant::now();"),
        ["a.rs:2 uses `Instant::now`, but this crate only computes: take it as an argument"]
    );
    assert_eq!(found("use std::fs;").len(), 1);
    assert!(found("//! std::fs is not used\n    /// println!(\"an example\")").is_empty());
    let inner = "#[cfg(test)]\nmod tests {\n    use std::fs;\n    fn t() {\n    }\n}\n";
    assert!(found(inner).is_empty());
    assert_eq!(found(&format!("{inner}use std::net::IpAddr;")).len(), 1, "code after a test module is checked");
    assert_eq!(found("#[cfg(test)]\nmod tests;\nuse std::env;").len(), 1, "code after a test file is checked");
    assert_eq!(check_unsafe("crates/a/src/b.rs", "fn f() {\n    unsafe { g() }\n}").len(), 1);
    assert!(check_unsafe("crates/a/src/b.rs", "// unsafe\nlet unsafely = \"unsafe_code\";").is_empty());
    assert!(check_unsafe("crates/leadsman-forest/src/kernel/x86.rs", "unsafe { g() }").is_empty());
    assert_eq!(check_places("a.rs", "ok\n/here/there", &["/here/".to_owned()]).len(), 1);
    Ok(())
}

fn verdict(violations: &[String]) -> Result<()> {
    if violations.is_empty() { Ok(()) } else { Err(violations.join("\n").into()) }
}

/// The packages of the workspace with their normal and build dependencies. Tests may name what they like.
fn packages() -> Result<Vec<Package>> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps", "--locked"])?)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut packages = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten().filter(|package| package["name"] != "e2e") {
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        packages.push(Package {
            name: text(&package["name"]),
            dependencies: dependencies.filter(|d| d["kind"] != "dev").map(|d| text(&d["name"])).collect(),
        });
    }
    assert!(packages.len() > 1, "cargo metadata shows no packages");
    Ok(packages)
}

/// Every `.rs` file below `directory` that is not a test.
fn rust_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "tests") {
                files.extend(rust_files(&path)?);
            }
        } else if path.extension().is_some_and(|e| e == "rs") && path.file_name().is_none_or(|name| name != "tests.rs")
        {
            files.push(path);
        }
    }
    Ok(files)
}

fn cargo(args: &[&str]) -> Result<String> {
    output(Command::new(env!("CARGO")).args(args).current_dir(workspace()))
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
