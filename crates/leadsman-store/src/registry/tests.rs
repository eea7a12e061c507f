use std::fs;
use std::path::Path;

use leadsman_domain::{ErrorKind, ModelAlias, Timestamp};
use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;

const FILES: [&str; 4] = ["manifest.json", "weights.bin", "metrics.json", "MODEL_CARD.md"];

fn model(name: &str) -> ModelFiles {
    ModelFiles {
        weights: [WEIGHTS_MAGIC.as_slice(), &[0, 1, 2, 3, 250]].concat(),
        metrics: json!({"average_precision": 0.875, "n": 3}),
        card: "# demo\n".into(),
        draft: ManifestDraft {
            name: name.into(),
            format: 1,
            feature_schema: "aa".into(),
            data_digest: "bb".into(),
            seed: 42,
            trained_by: "0.1.0".into(),
            data_from: Timestamp::from_micros(1_700_000_000_000_000),
            data_to: Timestamp::from_micros(1_700_000_360_000_001),
            events: 1000,
        },
    }
}

fn registry() -> (TempDir, ModelDirectory) {
    let dir = TempDir::new().unwrap();
    let registry = ModelDirectory::new(dir.path().join("models"));
    (dir, registry)
}

/// One model on disk, for tests that damage it.
fn written() -> (TempDir, std::path::PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out");
    write_model(&path, &model("demo"), 1).unwrap();
    (dir, path)
}

fn refused(dir: &Path) -> RegistryError {
    read_model(dir).unwrap_err()
}

#[test]
fn a_model_round_trips_and_versions_count_up() {
    let (_dir, registry) = registry();
    assert_eq!(registry.list().unwrap(), []);
    let one = registry.put(&model("demo")).unwrap();
    let two = registry.put(&model("demo")).unwrap();
    registry.put(&model("a-first")).unwrap();
    assert_eq!((one.version, two.version, one.schema.as_str()), (1, 2, MANIFEST_SCHEMA));
    let loaded = registry.load("demo", 2).unwrap();
    let files = model("demo");
    assert_eq!((loaded.weights, loaded.metrics, loaded.card), (files.weights, files.metrics, files.card));
    assert_eq!(loaded.manifest, two);
    let listed: Vec<_> = registry.list().unwrap().into_iter().map(|m| (m.manifest.name, m.manifest.version)).collect();
    assert_eq!(listed, [("a-first".into(), 1), ("demo".into(), 1), ("demo".into(), 2)]);
}

#[test]
fn aliases_point_and_move() {
    let (dir, registry) = registry();
    registry.put(&model("demo")).unwrap();
    registry.put(&model("demo")).unwrap();
    let unset = registry.resolve("demo", ModelAlias::Champion).unwrap_err();
    assert!(matches!(unset, RegistryError::NoAlias { .. }), "{unset}");
    registry.set_alias("demo", ModelAlias::Champion, 1).unwrap();
    registry.set_alias("demo", ModelAlias::Challenger, 2).unwrap();
    let file = dir.path().join("models/demo/aliases.json");
    assert_eq!(fs::read_to_string(&file).unwrap(), "{\"champion\":1,\"challenger\":2}\n");
    registry.set_alias("demo", ModelAlias::Champion, 2).unwrap();
    assert_eq!(registry.load_alias("demo", ModelAlias::Champion).unwrap().manifest.version, 2);
    let aliases: Vec<_> = registry.list().unwrap().into_iter().map(|m| m.aliases).collect();
    assert_eq!(aliases, [vec![], vec![ModelAlias::Champion, ModelAlias::Challenger]]);

    let none = registry.set_alias("demo", ModelAlias::Champion, 9).unwrap_err();
    assert_eq!((none.kind(), registry.resolve("demo", ModelAlias::Champion).unwrap()), (ErrorKind::NotFound, 2));
    for broken in ["{\"champion\":1,\"boss\":2}", "[]", "{\"champion\":-1}", ""] {
        fs::write(&file, broken).unwrap();
        assert!(matches!(registry.resolve("demo", ModelAlias::Champion), Err(RegistryError::Corrupt { .. })));
        assert!(registry.set_alias("demo", ModelAlias::Champion, 1).is_err());
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let dir = TempDir::new().unwrap();
    for out in ["a", "b/c"] {
        write_model(&dir.path().join(out), &model("demo"), 7).unwrap();
    }
    for file in FILES {
        let read = |out: &str| fs::read(dir.path().join(out).join(file)).unwrap();
        assert_eq!(read("a"), read("b/c"), "{file}");
    }
    let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a", "b"], "nothing is left over");
}

#[test]
fn a_model_is_never_overwritten() {
    let (_dir, path) = written();
    let before = fs::read(path.join("manifest.json")).unwrap();
    let taken = write_model(&path, &model("other"), 1).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Conflict, "{taken}");
    assert_eq!(fs::read(path.join("manifest.json")).unwrap(), before);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left over");
    fs::create_dir(path.with_file_name("empty")).unwrap();
    write_model(&path.with_file_name("empty"), &model("demo"), 1).unwrap();
}

#[test]
fn every_changed_byte_of_manifest_and_weights_is_refused() {
    let (_dir, path) = written();
    for file in ["manifest.json", "weights.bin"] {
        let sound = fs::read(path.join(file)).unwrap();
        for at in 0..sound.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut bytes = sound.clone();
                bytes[at] ^= flip;
                fs::write(path.join(file), &bytes).unwrap();
                let error = refused(&path);
                assert!(error.to_string().contains(file), "{file} at {at}: {error}");
            }
        }
        fs::write(path.join(file), &sound).unwrap();
    }
    read_model(&path).unwrap();
}

#[test]
fn every_cut_and_addition_is_refused() {
    let (_dir, path) = written();
    for file in ["manifest.json", "weights.bin"] {
        let sound = fs::read(path.join(file)).unwrap();
        let longer = [sound.as_slice(), b"\n"].concat();
        for bytes in (0..sound.len()).map(|n| &sound[..n]).chain([longer.as_slice()]) {
            fs::write(path.join(file), bytes).unwrap();
            refused(&path);
        }
        fs::write(path.join(file), &sound).unwrap();
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused(manifest: Vec<u8>, weights: Vec<u8>) {
        prop_assert!(verify(&manifest, &weights).is_err());
    }

    #[test]
    fn any_draft_round_trips(seed: u64, version in 1u64.., text in "\\PC{0,40}", tail: Vec<u8>) {
        let dir = TempDir::new().unwrap();
        let mut files = model("demo");
        files.draft.seed = seed;
        files.draft.trained_by = text.clone();
        files.card = text;
        files.weights.extend(tail);
        let manifest = write_model(&dir.path().join("m"), &files, version).unwrap();
        let read = read_model(&dir.path().join("m")).unwrap();
        prop_assert_eq!(&read.manifest, &manifest);
        prop_assert_eq!(read.weights, files.weights);
        prop_assert_eq!(read.card, files.card);
    }
}

#[test]
fn an_embedded_model_is_verified_the_same_way() {
    let (_dir, path) = written();
    let (manifest, weights) = (fs::read(path.join(FILES[0])).unwrap(), fs::read(path.join(FILES[1])).unwrap());
    assert_eq!(verify(&manifest, &weights).unwrap(), read_model(&path).unwrap().manifest);
    assert!(verify(&manifest, &weights[1..]).is_err());
}

#[test]
fn strangers_are_named_as_such() {
    let (_dir, path) = written();
    let sound = fs::read_to_string(path.join("manifest.json")).unwrap();
    fs::write(path.join("manifest.json"), sound.replace("leadsman.model/v1", "leadsman.model/v2")).unwrap();
    let error = refused(&path).to_string();
    assert!(error.contains("schema leadsman.model/v2") && error.contains(path.to_str().unwrap()), "{error}");
    fs::write(path.join("manifest.json"), "{\"name\": \"x\"}").unwrap();
    assert!(matches!(refused(&path), RegistryError::Foreign { fault: Fault::NoSchema, .. }));
    fs::write(path.join("manifest.json"), sound).unwrap();

    fs::write(path.join("weights.bin"), b"PK\x03\x04 a zip file").unwrap();
    assert!(matches!(refused(&path), RegistryError::Corrupt { fault: Fault::Size { .. }, .. }));
    fs::write(path.join("weights.bin"), [0x80; 13]).unwrap();
    assert!(matches!(refused(&path), RegistryError::Foreign { fault: Fault::Magic, .. }));
}

/// A manifest sealed by somebody who knows how, with content that we would not write.
#[test]
fn a_sealed_manifest_is_still_read_strictly() {
    let (_dir, path) = written();
    let weights = fs::read(path.join("weights.bin")).unwrap();
    let text = fs::read_to_string(path.join("manifest.json")).unwrap();
    let body = text.split(",\n  \"manifest_digest\"").next().unwrap();
    let seal =
        |body: &str| format!("{body},\n  \"manifest_digest\": \"{}\"\n}}\n", blake3::hash(body.as_bytes()).to_hex());
    assert_eq!(seal(body), text);
    let cases = [
        ("unknown field", body.replace("\"format\"", "\"exec\": \"rm\",\n  \"format\"")),
        ("missing field", body.replace("  \"seed\": 42,\n", "")),
        ("version 0", body.replace("\"version\": 1", "\"version\": 0")),
        ("path as name", body.replace("\"demo\"", "\"../demo\"")),
        ("negative size", body.replace("\"weights_bytes\": 13", "\"weights_bytes\": -13")),
        ("huge size", body.replace("\"weights_bytes\": 13", "\"weights_bytes\": 9999999999")),
        ("deep", body.replace("\"seed\": 42", &format!("\"seed\": {}", "[".repeat(100_000)))),
        ("large", body.replace("\"0.1.0\"", &format!("\"{}\"", "x".repeat(1 << 20)))),
    ];
    for (name, changed) in cases {
        assert_ne!(changed, body, "{name}");
        assert!(matches!(verify(seal(&changed).as_bytes(), &weights), Err(RegistryError::Corrupt { .. })), "{name}");
    }
}

#[test]
fn a_moved_model_is_refused_by_name() {
    let (dir, registry) = registry();
    registry.put(&model("demo")).unwrap();
    let demo = dir.path().join("models/demo");
    fs::rename(demo.join("1"), demo.join("3")).unwrap();
    let error = registry.load("demo", 3).unwrap_err().to_string();
    assert!(error.starts_with("model demo/3: manifest.json describes demo/1"), "{error}");
    assert!(registry.list().is_err());
}

#[test]
fn a_digest_error_says_what_to_do() {
    let (dir, registry) = registry();
    registry.put(&model("demo")).unwrap();
    let weights = dir.path().join("models/demo/1/weights.bin");
    fs::write(&weights, [WEIGHTS_MAGIC.as_slice(), &[9; 5]].concat()).unwrap();
    let error = registry.load("demo", 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "model demo/1: weights.bin does not match its digest: it was changed after training; restore it or retrain"
    );
    assert!(registry.set_alias("demo", ModelAlias::Champion, 1).is_err());
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    use std::os::unix::fs::symlink;
    for file in FILES {
        let (dir, path) = written();
        fs::rename(path.join(file), dir.path().join("elsewhere")).unwrap();
        symlink(dir.path().join("elsewhere"), path.join(file)).unwrap();
        let error = refused(&path);
        assert!(matches!(error, RegistryError::Corrupt { fault: Fault::SymbolicLink, .. }), "{file}: {error}");
    }
    let (dir, path) = written();
    symlink(&path, dir.path().join("link")).unwrap();
    assert!(matches!(refused(&dir.path().join("link")), RegistryError::Corrupt { .. }));

    let (dir, registry) = registry();
    registry.put(&model("demo")).unwrap();
    symlink("demo", dir.path().join("models/alias")).unwrap();
    assert!(registry.load("alias", 1).is_err() && registry.put(&model("alias")).is_err() && registry.list().is_err());
}

#[test]
fn missing_and_odd_files_are_named() {
    for file in FILES {
        let (_dir, path) = written();
        fs::remove_file(path.join(file)).unwrap();
        assert!(matches!(refused(&path), RegistryError::Corrupt { fault: Fault::Missing, .. }), "{file}");
        fs::create_dir(path.join(file)).unwrap();
        assert!(matches!(refused(&path), RegistryError::Corrupt { fault: Fault::WrongType, .. }), "{file}");
    }
    let (_dir, path) = written();
    fs::write(path.join("MODEL_CARD.md"), [0xff]).unwrap();
    assert!(matches!(refused(&path), RegistryError::Corrupt { fault: Fault::NotText, .. }));
}

#[test]
fn bad_names_never_become_paths() {
    let (_dir, registry) = registry();
    let long = "a".repeat(64);
    for bad in ["", ".", "..", "../demo", "a/b", "/etc", "Demo", "-a", "a_b", "é", "a\n", "a\0", &long] {
        let errors = [registry.put(&model(bad)).unwrap_err(), registry.load(bad, 1).unwrap_err()];
        assert!(errors.iter().all(|e| e.kind() == ErrorKind::InvalidInput), "{bad:?}");
        assert!(!errors[0].to_string().contains('\n'));
    }
    for good in ["a", "0", "a-", &"a".repeat(63)] {
        registry.put(&model(good)).unwrap();
    }
    assert_eq!(registry.load("none", 1).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(registry.load("a", 0).unwrap_err().kind(), ErrorKind::NotFound);
    let dir = TempDir::new().unwrap();
    let zero = write_model(&dir.path().join("m"), &model("demo"), 0).unwrap_err();
    assert_eq!(zero.kind(), ErrorKind::InvalidInput);
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    let (dir, registry) = registry();
    let mut cases = vec![model("demo"), model("demo"), model("demo")];
    cases[0].weights = b"other weights".to_vec();
    cases[1].card = "x".repeat((MAX_TEXT_BYTES + 1) as usize);
    cases[2].draft.data_from = Timestamp::from_micros(i64::MAX);
    for files in cases {
        let error = registry.put(&files).unwrap_err();
        assert!(matches!(error, RegistryError::Unwritable { .. }), "{error}");
    }
    assert!(!dir.path().join("models/demo/1").exists());
}

#[test]
fn strangers_beside_models_are_passed_over() {
    let (dir, registry) = registry();
    registry.put(&model("demo")).unwrap();
    let root = dir.path().join("models");
    fs::create_dir(root.join("lost+found")).unwrap();
    fs::write(root.join("readme"), "hello").unwrap();
    for odd in ["01", "0", "notes", ".staging-x"] {
        fs::create_dir(root.join("demo").join(odd)).unwrap();
    }
    assert_eq!(registry.list().unwrap().len(), 1);
    assert_eq!(registry.put(&model("demo")).unwrap().version, 2);
}

#[test]
fn writers_take_turns() {
    let (_dir, registry) = registry();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5).for_each(|_| drop(registry.put(&model("demo")).unwrap())));
        }
    });
    let versions: Vec<_> = registry.list().unwrap().iter().map(|m| m.manifest.version).collect();
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());

    std::thread::scope(|scope| {
        for alias in [ModelAlias::Champion, ModelAlias::Challenger] {
            let registry = &registry;
            scope.spawn(move || (1..=20).for_each(|v| registry.set_alias("demo", alias, v).unwrap()));
        }
    });
    // A lost update would leave one of them behind.
    assert_eq!(registry.resolve("demo", ModelAlias::Champion).unwrap(), 20);
    assert_eq!(registry.resolve("demo", ModelAlias::Challenger).unwrap(), 20);
}
