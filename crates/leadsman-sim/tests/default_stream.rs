//! The default stream keeps its bytes: the model that is built into the binary was trained on it.

use leadsman_sim::{SimConfig, SimError, Simulation};

/// FNV-1a over all records of the days, each followed by a line feed.
fn digest(config: &SimConfig) -> Result<u64, SimError> {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for record in Simulation::new(config)? {
        for byte in record.payload.bytes().iter().chain(b"\n") {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(hash)
}

#[test]
fn the_default_stream_keeps_its_bytes() -> Result<(), SimError> {
    for (seed, from_day, want) in
        [(1, 0, 0xe9ab_8b6b_5bb9_5e18), (1, 4, 0x2743_10bd_3c99_9829), (9, 29, 0x74fd_2f8f_f136_523c)]
    {
        let got = digest(&SimConfig { seed, from_day, days: 2, ..SimConfig::default() })?;
        assert_eq!(got, want, "seed {seed}, day {from_day}: {got:#018x}");
    }
    Ok(())
}
