//! The project's tasks: `cargo xtask <task>`. CI calls nothing else.
#![allow(clippy::print_stdout, reason = "a command line program answers on stdout")]

mod build;
mod count;
mod image;
mod pack;
mod plugin;
mod run;
mod shim;
mod tests;

use anyhow::{Result, bail};

const USAGE: &str = "\
cargo xtask <task>

  up [ARGS]      build everything and run the whole pipeline; ARGS go to `doorbuster up`
  build          build target/release/doorbuster and the components in target/components/
  plugin [ARGS]  pack the Spin plugin in target/plugin/: --url URL
  push REF       push the application to an OCI registry: REGISTRY/NAME[:TAG]
  image [ARGS]   build our image in target/image/; --app bakes the application into it
  shim           build the containerd shim and pack it in target/shim/
  test           install what the tests need and run them all
  test-containers  run the shim's tests, with a real containerd; needs root
  chaos [ARGS]   break things at random under load and compare the books: --minutes N --seed S
  spin [ARGS]    run the pipeline in a real Spin with the packed plugin: --spin PATH
  secrets        make the passwords of k8s/ that are missing
  manifests      make them, render k8s/ in every way, and check each object strictly
  bench [ARGS]   compare the pipeline with the same one without WebAssembly
  lint           check format, lints, licences and advisories
";

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    match task.as_str() {
        "up" => {
            build::all(false)?;
            run::doorbuster("up", &rest)
        }
        "build" => build::all(false),
        "push" => {
            build::all(false)?;
            run::doorbuster("push", &rest)
        }
        "image" => image::build(&rest),
        "plugin" => plugin::pack(&rest),
        "shim" => shim::pack(),
        "test" => tests::all(&rest),
        "test-containers" => tests::containers(&rest),
        "chaos" => {
            build::all(false)?;
            run::replace(&run::release("chaos"), &rest)
        }
        "spin" => {
            build::all(false)?;
            plugin::pack(&[])?;
            run::replace(&run::release("real-spin"), &rest)
        }
        "secrets" => run::manifests("secrets"),
        "manifests" => run::manifests("check"),
        "bench" => {
            build::all(false)?;
            run::replace(&run::release("bench"), &rest)
        }
        "lint" => tests::lint(),
        "" | "help" | "-h" | "--help" => {
            print!("{USAGE}");
            Ok(())
        }
        other => bail!("there is no task `{other}`\n\n{USAGE}"),
    }
}
