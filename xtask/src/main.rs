//! The tasks of the project: `cargo xtask <task>`. CI uses only these.

mod bench;
mod build;
mod count;
mod families;
mod fuzz;
mod image;
mod interfaces;
mod load_report;
mod mutants;
mod pack;
mod packages;
mod plots;
mod plugin;
mod profile;
mod run;
mod shim;
mod tests;

use std::process::ExitCode;

use anyhow::{Result, bail};

use profile::Profile;

const USAGE: &str = "\
cargo xtask <task>

  up [ARGS]      build the program and the components, in the profile that compiles fast, and run
                 the whole pipeline; ARGS are passed to `doorbuster up`. --local DIR starts Apache
                 Kafka and Valkey on this machine, and keeps their data in DIR; --queue NAME starts
                 RabbitMQ with this queue; if it cannot be started, --or-only IDS runs only these
                  components; --postgres DIR starts PostgreSQL and runs the scripts in DIR
  build          build target/release/doorbuster and the components in target/components/, in the
                 optimized profile
  plugin [ARGS]  pack the Spin plugin in target/plugin/; --url URL
  push REF       push the application to an OCI registry: REGISTRY/NAME[:TAG]
  image [ARGS]   build our image in target/image/; --app adds the application to it, --tag TAG sets
                 its tag
  shim           build the containerd shim and pack it in target/shim/
  test [TEXT]    install what the tests need and run all tests, or those with TEXT in their names
  test-containers  run the tests of the shim and the image with a real containerd; needs root
  chaos [ARGS]   inject random faults under load and compare the counts with the ledger:
                 --minutes N --seed S
  mutants [TEXT] break the engine in one severe way at a time (those whose name contains TEXT), and
                 check that a test fails
  fuzz [ARGS]    fuzz the decoders of bytes from outside: --seconds N for each target, TARGET;
                 needs cargo-fuzz
  spin [ARGS]    run the pipeline in a real Spin with the packed plugin, and compare other applications
                 there and in `doorbuster up`: --spin PATH, --only APPLICATION
  secrets        create the missing passwords of k8s/
  manifests      create them, render all variants of k8s/, and check each object strictly
  bench [ARGS]   measure the pipeline beside the same one without WebAssembly, and draw the
                 results: accept, breakdown, drain, rebuild, latency, end-to-end, start, hello,
                 overload, growth, viewers, gateway, brokers, students, or all of them except the
                 last two; --short for a trial, --help for all options
  compare brokers [ARGS]  the same for Kafka and RabbitMQ under examples/weather: speed, latency, and
                 what faults cost, in three rounds; without --short, the tables and images in
                 docs/benchmarks are replaced
  compare gateway [ARGS]  the same for `balance`, `retry` and `breaker` before servers that fail, in one
                 round
  compare students [ARGS]  the same for examples/university and the same service with axum and sqlx:
                 pages of 2,000,000 students in PostgreSQL, with 200 clients
  load-report [ARGS]  run Locust against the pipeline on real servers and draw the run in
                 docs/benchmarks/load.svg; ARGS are passed to Locust: --shape, --peak, --minutes
  screenshot     run the pipeline under load and write pictures of the live page,
                 docs/live-page-light.png and docs/live-page-dark.png
  settings       write the lists of settings and flags in docs/reference/settings.md
  lint           check format, lints, layers, released interfaces, packages to publish, licences
                 and versions of dependencies; needs cargo-deny
  audit          check dependencies for known vulnerabilities; needs cargo-deny and the internet
";

fn main() -> ExitCode {
    // Without a backtrace: the last lines of CI's log are the tests that failed.
    run_task().map_or_else(|error| printing::failure(&error), |()| ExitCode::SUCCESS)
}

fn run_task() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    match task.as_str() {
        "up" => {
            build::pipeline(Profile::Dev, &["with-servers"])?;
            run::up(Profile::Dev, &rest)
        }
        "build" => build::pipeline(Profile::Release, &[]),
        "push" => {
            build::pipeline(Profile::Release, &[])?;
            run::doorbuster(Profile::Release, "push", &rest)
        }
        "image" => image::build(&rest),
        "plugin" => plugin::build(&rest),
        "shim" => shim::build(Profile::Release),
        "test" => tests::all(&rest),
        "test-containers" => tests::containers(&rest),
        "chaos" => {
            build::pipeline(Profile::Release, &["chaos"])?;
            run::replace(&Profile::Release.program("chaos"), &rest)
        }
        "mutants" => mutants::run(&rest.join(" ")),
        "spin" => {
            build::for_spin(Profile::Release)?;
            plugin::build(&[])?;
            run::replace(&Profile::Release.program("real-spin"), &rest)
        }
        "fuzz" => fuzz::run(&rest),
        "secrets" => run::manifests("secrets"),
        "manifests" => run::manifests("check"),
        "bench" => bench::measure_and_draw(&rest),
        "compare" => match rest.first().map(String::as_str) {
            Some("brokers") => bench::compare_brokers(&rest),
            Some("gateway") => bench::compare_gateway(&rest),
            Some("students") => bench::measure_and_draw(&rest),
            _ => bail!("the comparisons are `brokers`, `gateway` and `students`"),
        },
        "screenshot" => {
            build::pipeline(Profile::Dev, &["with-servers", "screenshot"])?;
            run::replace(&Profile::Dev.program("screenshot"), &rest)
        }
        "settings" => tests::write_settings(),
        "load-report" => load_report::run_and_draw(&rest),
        "lint" => tests::lint(),
        "audit" => tests::audit(),
        "" | "help" | "-h" | "--help" => Ok(printing::result(USAGE.trim_end())?),
        other => bail!("there is no task `{other}`\n\n{USAGE}"),
    }
}
