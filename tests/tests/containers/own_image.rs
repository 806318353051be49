//! The container image under runc, with the settings of a SpinApp's pod.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use pipeline_tests::root;

use crate::container::Node;

/// The output of `cargo xtask image --app`, and the name of its image.
const ARCHIVE: &str = "target/image/doorbuster-app.tar";
const IMAGE: &str = concat!("docker.io/library/doorbuster:", env!("CARGO_PKG_VERSION"));

/// A privileged port.
const ADDRESS: &str = "127.0.0.1:980";

const SALE: &str = r#"{"categoria":1,"producto_id":"tv-42","precio":499.99,"cantidad_vendida":2}"#;

#[tokio::test(flavor = "multi_thread")]
async fn our_image_runs_with_the_operators_arguments_as_nobody_on_a_read_only_root() {
    let node = Node::start(&[]).await;
    node.import(&fs::read(root().join(ARCHIVE)).unwrap()).unwrap();
    let config = tempfile::NamedTempFile::new().unwrap();
    let provider = "[[config_provider]]\ntype = 'env'\nprefix = 'SPIN_VARIABLE_'\n";
    fs::write(config.path(), provider).unwrap();
    // The permissions of a file that Kubernetes mounts.
    fs::set_permissions(config.path(), Permissions::from_mode(0o644)).unwrap();
    let file = config.path().display();
    let mount = format!("type=bind,src={file},dst=/runtime-config.toml,options=rbind:ro");
    let container = node.run_program(
        IMAGE,
        &[("SPIN_VARIABLE_BRIDGE_URL", "http://127.0.0.1:9"), ("DOORBUSTER_LINGER_S", "0")],
        &["--read-only", "--net-host", "--mount", &mount],
        // `ctr` replaces the entry point by these arguments; Kubernetes appends them.
        &[
            "/doorbuster",
            "up",
            "--listen",
            ADDRESS,
            "-f",
            "team/doorbuster-app:0.1.0",
            "--runtime-config-file",
            "/runtime-config.toml",
            "--component-id",
            "ingest",
        ],
    );
    let client = container.client(ADDRESS).await;
    let answer = client.post("/purchase", SALE).await.unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    let status = fs::read_to_string(format!("/proc/{}/status", container.pid().unwrap())).unwrap();
    assert!(status.contains("Uid:\t65532\t65532"), "{status}");
    container.signal("SIGTERM");
    let (code, log) = container.ended().await;
    assert_eq!(code, 0, "{log}");
}
