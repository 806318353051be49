//! Mutation tests of the engine and of windows: applies one severe fault at a time, and expects the
//! tests to fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::run::{cargo_command, root};

/// A change that breaks a guarantee, and the test that must detect it.
struct Mutant {
    name: &'static str,
    file: &'static str,
    sound: &'static str,
    broken: &'static str,
    package: &'static str,
    program: &'static [&'static str],
    test: &'static str,
}

/// The integration tests with real servers.
const IT: &[&str] = &["--test", "it"];
/// The test of the windows with any batches, some of which are handed over again.
const WINDOWS_TEST: &str = "pass::tests::the_same_log_has_the_same_result";

const MUTANTS: [Mutant; 11] = [
    Mutant {
        name: "the topic's id is taken from a cache",
        file: "crates/kafka/spin-kafka-trigger/src/log_id.rs",
        sound: "answer.requested >= not_before &&",
        broken: "(answer.requested.elapsed().as_secs() < 30 || answer.requested >= not_before) &&",
        package: "spin-kafka-trigger",
        program: IT,
        test: "recreated::a_topic_created_again_is_read_once_from_its_beginning",
    },
    Mutant {
        name: "records below the position are read as if they were known",
        file: "crates/kafka/spin-kafka-trigger/src/extent.rs",
        sound: "return self.epoch < 0 || epoch <= self.epoch;",
        broken: "return true;",
        package: "spin-kafka-trigger",
        // With real brokers librdkafka detects the fault, too, if it gets the epoch.
        program: &["--lib"],
        test: "extent::tests::a_later_epoch_below_the_end_means_that_the_log_was_rewritten",
    },
    Mutant {
        name: "the offset moves though the letter is not written",
        file: "crates/kafka/spin-kafka-trigger/src/partition/applier.rs",
        sound: "None => self.failed_records.write_dead_letters(letters).await?,",
        broken: "None => {
                self.position.advance(end, read);
                self.failed_records.write_dead_letters(letters).await?;
            }",
        package: "spin-kafka-trigger",
        program: IT,
        test: "failures::the_offset_moves_only_when_the_letter_is_written",
    },
    Mutant {
        name: "letters are marked as sent back before they are",
        file: "crates/kafka/spin-kafka-trigger/src/send_back.rs",
        sound: "self.mark(partition, &Marks::default())?;",
        broken: "let mut all = Marks::default();
            chunk.iter().for_each(|letter| all.add(letter.record.offset));
            self.mark(partition, &all)?;",
        package: "spin-kafka-trigger",
        program: IT,
        test: "sending_back::letters_that_cannot_be_sent_are_reported_and_the_others_are_sent_once",
    },
    Mutant {
        name: "the trigger keeps its producer after an error for good",
        file: "crates/kafka/spin-kafka-trigger/src/dead_letters.rs",
        sound: "let Some(code) = client.ended() else",
        broken: "let Some(code) = None::<RDKafkaErrorCode> else",
        package: "spin-kafka-trigger",
        program: &["--lib"],
        test: "dead_letters::tests::a_client_that_cannot_continue_is_replaced",
    },
    Mutant {
        name: "the host keeps its producer after an error for good",
        file: "crates/kafka/host-producer/src/producer.rs",
        sound: "Some(code) => self.replace(&client, code),",
        broken: "Some(_) => client,",
        package: "host-producer",
        program: IT,
        test: "kafka::a_broker_that_comes_back_with_an_older_disk_is_written_to_again",
    },
    Mutant {
        name: "a producer is kept though its records time out",
        file: "crates/kafka/client/src/ended.rs",
        sound: "ends_producer(code) || (reachable && code == Code::MessageTimedOut)",
        broken: "ends_producer(code) || (code == Code::MessageTimedOut && !reachable)",
        package: "host-producer",
        program: IT,
        test: "kafka::a_topic_created_again_after_elections_is_written_to",
    },
    Mutant {
        name: "the watermark of windows is not stored",
        file: "crates/valkey/windows/src/progress.rs",
        sound: "    newest_ms: Option<i64>,",
        broken: "    #[serde(skip)]
    newest_ms: Option<i64>,",
        package: "spin-kafka-windows",
        program: &["--lib"],
        test: WINDOWS_TEST,
    },
    Mutant {
        name: "windows judge a record again that is handed over again",
        file: "crates/valkey/windows/src/progress.rs",
        sound: "match offset < self.next {",
        broken: "match offset < self.next.min(0) {",
        package: "spin-kafka-windows",
        program: &["--lib"],
        test: WINDOWS_TEST,
    },
    Mutant {
        name: "windows forget which records they refused",
        file: "crates/valkey/windows/src/progress.rs",
        sound: "self.refused.extend(refused);",
        broken: "self.refused.extend(&refused[..0]);",
        package: "spin-kafka-windows",
        program: &["--lib"],
        test: WINDOWS_TEST,
    },
    Mutant {
        name: "a record that repeats an earlier one is late",
        file: "crates/guest/spin-kafka-sdk/src/state/apply.rs",
        sound: "!transaction.includes(offset) && !is_void",
        broken: "!transaction.includes(offset) && !(is_void && offset < 0)",
        package: "spin-kafka-sdk",
        program: &["--lib"],
        test: "state::apply::tests::\
               a_record_that_repeats_an_earlier_one_is_not_rejected_because_of_earlier_records",
    },
];

/// Runs the test of every mutant, or of those whose name contains `only`.
pub fn run(only: &str) -> Result<()> {
    let folder = root().join("target/mutants");
    let mut missed = Vec::new();
    for mutant in MUTANTS.iter().filter(|mutant| mutant.name.contains(only)) {
        let caught = mutant.is_caught(&folder)?;
        printing::result(format_args!(
            "{}: {}",
            if caught { "caught" } else { "MISSED" },
            mutant.name
        ))?;
        if !caught {
            missed.push(mutant.name);
        }
    }
    ensure!(missed.is_empty(), "no test fails although {}", missed.join("; and although "));
    Ok(())
}

impl Mutant {
    fn is_caught(&self, folder: &Path) -> Result<bool> {
        let source = copy_project(folder)?;
        // Checked first, because a mutant that fails for another reason would look as if it was
        // detected.
        ensure!(self.passes(folder, &source)?, "{} fails on the sound code", self.test);
        let file = source.join(self.file);
        let text = fs::read_to_string(&file).with_context(|| self.file)?;
        ensure!(
            text.matches(self.sound).count() == 1,
            "{} does not have `{}` exactly once",
            self.file,
            self.sound
        );
        fs::write(&file, text.replace(self.sound, self.broken))?;
        Ok(!self.passes(folder, &source)?)
    }

    /// Builds and runs the test. Fails if it cannot be built or does not exist.
    fn passes(&self, folder: &Path, source: &Path) -> Result<bool> {
        let cargo = |more: &[&str]| {
            let mut command = cargo_command();
            command.args(["test", "--quiet", "--package", self.package]).args(self.program);
            command.args(more).current_dir(source);
            command.env("CARGO_TARGET_DIR", folder.join("build"));
            command.env("DOORBUSTER_HOME", root().join("target/servers"));
            command
        };
        let built = cargo(&["--no-run"]).status().context("cannot run cargo")?;
        ensure!(built.success(), "`{}` cannot be built", self.name);
        let output = cargo(&["--", "--exact", self.test]).stderr(Stdio::inherit()).output()?;
        let output = String::from_utf8_lossy(&output.stdout);
        let (passed, failed) = ("1 passed; 0 failed", "0 passed; 1 failed");
        ensure!(
            output.contains(passed) || output.contains(failed),
            "{} did not run:\n{output}",
            self.test
        );
        Ok(output.contains(passed))
    }
}

/// A new copy of all files that Git tracks, and of the untracked ones that are not ignored. All get
/// the current time: with their own, Cargo would keep what it built from the previous mutant.
fn copy_project(folder: &Path) -> Result<PathBuf> {
    let source = folder.join("source");
    if source.exists() {
        fs::remove_dir_all(&source)?;
    }
    fs::create_dir_all(&source)?;
    let pack = "git ls-files -z --cached --others --exclude-standard \
                | tar --create --null --files-from - --ignore-failed-read \
                | tar --extract --touch --directory \"$0\"";
    let copied = Command::new("sh").args(["-c", pack]).arg(&source).current_dir(root()).status()?;
    ensure!(copied.success(), "cannot copy the project to {}", source.display());
    Ok(source)
}
