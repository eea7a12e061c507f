# Format, lints, build, tests, docs, and the licence and dependency rules.
check:
    tests/run
    cargo deny check

# Every test of the workspace.
test:
    cargo build --workspace --features leadsman/failpoints
    cargo test --workspace --features leadsman/failpoints

# The end-to-end tests; arguments select by name.
e2e *FILTER:
    cargo build --workspace --features leadsman/failpoints
    cargo test --workspace --features leadsman/failpoints --test e2e -- {{FILTER}}

# Kill a process at a seeded point of its commit, once per seed, and compare with one offline run over the same log.
chaos SEEDS FIRST="1":
    cargo build --workspace --features leadsman/failpoints
    cargo test --workspace --features leadsman/failpoints --test chaos -- {{SEEDS}} {{FIRST}}

# From one worker to three and back under load, on PostgreSQL: the same findings, and the pause of each hand-over.
workers TIMES:
    cargo build --workspace --features leadsman/failpoints
    cargo test --workspace --features leadsman/failpoints --test chaos -- workers {{TIMES}}

# Rewrite the golden files; review the difference before it is committed.
golden:
    cargo build --workspace
    LEADSMAN_GOLDEN=rewrite cargo test -p e2e -- golden
    git diff --stat -- tests/golden

# One benchmark by name; without a name, the names.
bench NAME="" *PARTS:
    #!/usr/bin/env bash
    set -euo pipefail
    # Each is built with the packages of its own crate, which is a matter of seconds for all but the first.
    case "{{NAME}}" in
        pipeline | detect | lake) cargo bench --workspace --bench {{NAME}} ;;
        rules) cargo bench -p leadsman-detect --bench rules ;;
        forest | adbench) cargo bench -p leadsman-forest --bench {{NAME}} ;;
        # sonic-rs takes its vector instructions at compile time and is inlined across crates only by link-time
        # optimisation, so it gets both. Ours are taken at run time.
        decode)
            export RUSTFLAGS="-C target-cpu=native" CARGO_PROFILE_BENCH_LTO=thin CARGO_PROFILE_BENCH_CODEGEN_UNITS=4
            cargo bench --target-dir target/native -p leadsman-decode --features peers --bench decode
            ;;
        # The binary as it is released, beside the reader as the benchmark above builds it.
        inspect)
            cargo build --release --workspace
            export LEADSMAN_BIN="${CARGO_TARGET_DIR:-$PWD/target}/release/leadsman"
            export RUSTFLAGS="-C target-cpu=native" CARGO_PROFILE_BENCH_LTO=thin CARGO_PROFILE_BENCH_CODEGEN_UNITS=4
            cargo bench --target-dir target/native -p leadsman-decode --features peers --bench inspect
            ;;
        # The binary as it is released, between a real broker and a real store; LEADSMAN_BENCH_EVENTS says how many,
        # and further arguments which parts.
        stream)
            cargo build --release --workspace
            export LEADSMAN_BIN="${CARGO_TARGET_DIR:-$PWD/target}/release/leadsman"
            # The bare consumer gets the allocator settings that the service gives itself (leadsman::allocator).
            export GLIBC_TUNABLES=glibc.malloc.mmap_threshold=4194304:glibc.malloc.trim_threshold=8388608
            cargo bench --workspace --bench stream -- {{PARTS}}
            ;;
        *) echo "pipeline detect lake rules forest adbench decode inspect stream"; [ -z "{{NAME}}" ] ;;
    esac

# Memory over time at half as much again as the load that a process is rated for.
soak MINUTES:
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build --release --workspace
    export LEADSMAN_BIN="${CARGO_TARGET_DIR:-$PWD/target}/release/leadsman" LEADSMAN_SOAK_MINUTES={{MINUTES}}
    cargo bench --workspace --bench stream

# A simulated cluster, an attack, and the findings.
demo:
    cargo run --release -p leadsman -- demo

# Train the demo's model on the simulated cluster.
demo-model:
    cargo run --release --locked -- datasets generate --out target/demo-data --days 28
    rm -rf target/demo-model
    cargo run --release --locked -- --config models/demo.toml train target/demo-data --name demo --out target/demo-model
    cp target/demo-model/* models/demo/1/

# How the audit traces that Falco's own tests label are ranked, and which are missed; needs the data sets.
falco:
    cargo build --workspace
    cargo test -p e2e -- falco::

# API documentation, in target/doc.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# The forest's kernels in Miri, which checks every access to memory; needs nightly with `rustup component add miri`.
miri:
    RUSTFLAGS="-C target-feature=+avx2" cargo +nightly miri test --target-dir target/miri -p leadsman-forest --lib -- \
        kernels_agree_on_a_few_rows

# Fuzz one decoder for some seconds, for example `just fuzz gke 60`; needs `cargo install cargo-fuzz`, no nightly.
fuzz TARGET SECONDS:
    mkdir -p crates/leadsman-decode/fuzz/corpus/{{TARGET}}
    cargo fuzz run --fuzz-dir crates/leadsman-decode/fuzz --target-dir target/fuzz --sanitizer none {{TARGET}} \
        crates/leadsman-decode/fuzz/corpus/{{TARGET}} crates/leadsman-decode/fuzz/seeds/{{TARGET}} \
        -- -max_total_time={{SECONDS}} -max_len=16384 -timeout=10 -print_final_stats=1
