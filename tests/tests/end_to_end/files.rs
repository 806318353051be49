//! The files that a component may read.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use component_host::output::Outputs;
use component_host::{CompileCache, Host, Limits};
use pipeline_tests::{Client, doorbuster, root};
use registry::Transport;
use spin_app::App;
use spin_app::files::MountedFile;
use spin_app::manifest;
use spin_app::variables::Variables;
use test_servers::Registry;

use crate::guests::serve_app;

/// `reads-files` returns files by WASI 0.2 (`/p2`) and 0.3 (`/p3`).
const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "files"
[[trigger.http]]
route = "/..."
component = "reads-files"
[component.reads-files]
source = "WASM"
files = ["notes/**/*.txt", { source = "site", destination = "/www" }]
exclude_files = ["**/secret.txt"]
"#;

/// Writes the manifest in the folder `app`, and reads it.
fn read(folder: &Path) -> App {
    let path = folder.join("app/spin.toml");
    let wasm = root().join("target/components/reads_files.wasm");
    fs::write(&path, MANIFEST.replace("WASM", wasm.to_str().unwrap())).unwrap();
    manifest::read(&path).unwrap()
}

async fn serve(app: &App) -> Client {
    let (variables, outputs) = (Variables::default(), Outputs::default());
    let limits = Limits::default();
    let cache = CompileCache::UserFolder;
    let host = Host::load(app, &variables, limits.clone(), outputs, &cache, &[]).unwrap();
    serve_app(host, limits).await
}

fn write(folder: &Path, files: &[&str]) {
    for file in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
}

async fn send(client: &Client, path: &str) -> (u16, String) {
    let answer = client.post(path, "").await.unwrap();
    (answer.status.as_u16(), answer.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_reads_its_files_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &["outside", "app/notes/deep/a.txt", "app/notes/secret.txt"]);
    write(folder.path(), &["app/notes/b.md", "app/site/index.html"]);
    let mut app = read(folder.path());
    let client = serve(&app).await;
    for version in ["/p2", "/p3"] {
        for (path, content) in [
            ("/notes/deep/a.txt", Some("app/notes/deep/a.txt")),
            ("/www/index.html", Some("app/site/index.html")),
            ("/notes/secret.txt", None),
            ("/notes/b.md", None),
            ("/spin.toml", None),
            ("/etc/hostname", None),
        ] {
            let (status, text) = send(&client, &format!("{version}{path}")).await;
            match content {
                Some(content) => assert_eq!((status, &*text), (200, content), "{version}{path}"),
                None => assert_eq!(status, 403, "{version}{path}: {text}"),
            }
        }
    }
    for path in
        ["/write/new", "/write/www/index.html", "/remove/www/index.html", "/link/www/index.html"]
    {
        let (status, text) = send(&client, path).await;
        assert_eq!(status, 403, "{path}: {text}");
    }

    // A folder that Spin has copied, with links that leave it.
    let copied = folder.path().join("copied");
    write(&copied, &["inside"]);
    symlink("../outside", copied.join("relative")).unwrap();
    symlink(folder.path().join("outside"), copied.join("absolute")).unwrap();
    app.components[0].files = vec![MountedFile::local(&copied, "/".into())];
    let client = serve(&app).await;
    for version in ["/p2", "/p3"] {
        assert_eq!(send(&client, &format!("{version}/inside")).await, (200, "inside".into()));
        for path in ["/relative", "/absolute", "/../outside"] {
            let (status, text) = send(&client, &format!("{version}{path}")).await;
            assert_eq!(status, 403, "{version}{path}: {text}");
        }
    }
    assert_eq!(send(&client, "/parent/outside").await.0, 403);
}

/// The guest rejects each record whose value is not the name of a file.
#[tokio::test]
async fn a_kafka_component_reads_its_files() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &["app/site/index.html"]);
    let trigger = "[[trigger.kafka]]\ncomponent = \"reads-files\"\nbrokers = \"127.0.0.1:1\"\n\
                   topic = \"names\"\ngroup = \"g\"\n";
    let wasm = root().join("target/components/reads_files.wasm");
    let text = format!("{MANIFEST}{trigger}").replace("WASM", wasm.to_str().unwrap());
    fs::write(folder.path().join("app/spin.toml"), text).unwrap();
    let records = "{\"value\":\"/www/index.html\"}\n{\"value\":\"/www/missing\"}\n";
    fs::write(folder.path().join("app/records.ndjson"), records).unwrap();
    let mut test = doorbuster();
    test.args(["test", "records.ndjson"]).current_dir(folder.path().join("app"));
    let output = test.output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("line 2: ") && text.contains("NotFound"), "{text}");
    assert!(!text.contains("line 1: ") && text.contains("1 applied"), "{text}");
}

/// A few files are layers of their own, many files are one archive, and a small file is part of the
/// application.
#[tokio::test(flavor = "multi_thread")]
async fn files_come_back_from_a_registry() {
    let registry = Registry::start(false).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &["app/site/small"]);
    fs::create_dir(folder.path().join("app/notes")).unwrap();
    for files in [2, 510] {
        for number in 0..files {
            let path = folder.path().join(format!("app/notes/{number}.txt"));
            fs::write(path, format!("{number:0200}")).unwrap();
        }
        let app = read(folder.path());
        let reference = format!("{}/files:{files}", registry.address());
        let reference = registry::parse_reference(&reference).unwrap();
        registry::push(&app, &reference, Transport::Plain).await.unwrap();
        let client = serve(&registry::pull(&reference, Transport::Plain).await.unwrap()).await;
        let last = files - 1;
        let (status, text) = send(&client, &format!("/p2/notes/{last}.txt")).await;
        assert_eq!((status, text), (200, format!("{last:0200}")));
        assert_eq!(send(&client, "/p3/www/small").await, (200, "app/site/small".into()));
    }
    registry.stop().await.unwrap();
}
