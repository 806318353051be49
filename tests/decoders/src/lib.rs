//! The checks that every decoder of external input must pass for any input.
//!
//! A check takes bytes from a fuzzer, and panics if a decoder breaks its contract. The fuzz targets
//! in `tests/fuzz` call the checks. The tests here run them with the inputs in `tests/fuzz/corpus`,
//! and with mutations of these.

mod access_token;
mod assignment;
mod cached_response;
mod composition;
mod events;
mod fields;
mod figures;
mod filter;
mod grpc;
mod kafka;
mod ledger;
mod letter;
mod lines;
mod lock_file;
mod manifest;
mod marks;
mod metrics;
mod request;
mod sales;
mod schema;
mod token;
mod update;
mod valkey;

pub use access_token::check as access_token;
pub use assignment::check as assignment;
pub use cached_response::check as cached_response;
pub use composition::check as composition;
pub use events::check as events;
pub use fields::check as fields;
pub use figures::check as figures;
pub use filter::check as filter;
pub use grpc::check as grpc;
pub use kafka::check as kafka;
pub use ledger::check as ledger;
pub use letter::check as letter;
pub use lock_file::check as lock_file;
pub use manifest::check as manifest;
pub use marks::check as marks;
pub use metrics::check as metrics;
pub use request::check as request;
pub use schema::check as schema;
pub use token::check as token;
pub use update::check as update;
pub use valkey::check as valkey;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use mutatis::check::Check as Mutations;
    use mutatis::mutators;

    use super::*;

    type Check = fn(&[u8]);

    /// Minimum number of mutated inputs for each decoder, and the time for further ones.
    const MUTATIONS_MIN: usize = 50;
    const MUTATING: Duration = Duration::from_millis(700);

    /// All checks, by the names of their fuzz targets.
    const CHECKS: [(&str, Check); 21] = [
        ("access_token", access_token),
        ("assignment", assignment),
        ("cached_response", cached_response),
        ("composition", composition),
        ("events", events),
        ("fields", fields),
        ("figures", figures),
        ("filter", filter),
        ("grpc", grpc),
        ("kafka", kafka),
        ("ledger", ledger),
        ("letter", letter),
        ("lock_file", lock_file),
        ("manifest", manifest),
        ("marks", marks),
        ("metrics", metrics),
        ("request", request),
        ("schema", schema),
        ("token", token),
        ("update", update),
        ("valkey", valkey),
    ];

    fn corpus() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
    }

    fn inside(folder: &Path) -> BTreeSet<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn kept_inputs_pass_their_check() {
        let folders = CHECKS.map(|(name, _)| corpus().join(name));
        assert_eq!(inside(&corpus()), BTreeSet::from(folders.clone()));
        let folder = corpus().join("../targets");
        let targets = CHECKS.map(|(name, _)| folder.join(format!("{name}.rs")));
        assert_eq!(inside(&folder), BTreeSet::from(targets));
        for ((_, check), folder) in CHECKS.iter().zip(folders) {
            let inputs = inside(&folder);
            assert!(!inputs.is_empty(), "{} is empty", folder.display());
            for input in inputs {
                // The test harness prints this if the check fails.
                println!("{}", input.display());
                check(&fs::read(input).unwrap());
            }
        }
    }

    /// After a failure, add the printed input to the corpus.
    #[test]
    fn mutated_inputs_pass_their_check() {
        for (name, check) in CHECKS {
            let kept = inside(&corpus().join(name));
            let kept = kept.into_iter().map(|input| fs::read(input).unwrap());
            let mut mutations = Mutations::new();
            mutations.min_iters(MUTATIONS_MIN).max_iters(usize::MAX).max_duration(MUTATING);
            let checked = mutations.run_with(mutators::default::<Vec<u8>>(), kept, |input| {
                check(input);
                Ok::<(), String>(())
            });
            checked.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        }
    }
}
