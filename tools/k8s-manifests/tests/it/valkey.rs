//! Valkey as the manifests start it: the real server, the real scripts and the generated users,
//! with loopback addresses instead of pods.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use aggregate::{
    Command as Call, Known, NAMES, Namespace, OffsetRange, Record, Reply, RetentionLimits, Source,
    Step, Update,
};
use k8s_manifests::generate_secrets;
use sale::Sale;
use tempfile::TempDir;

/// Maximum wait for any condition, such as an election on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Writes a replacement for valkey-cli, for which there is no separate package. It is called very
/// often, so the path of the interpreter is looked up only once, and unneeded start-up work is
/// disabled.
fn write_cli(path: &Path) {
    let ask = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let python = String::from_utf8(ask.unwrap().stdout).unwrap();
    let script = include_str!("valkey-cli").split_once('\n').unwrap().1;
    fs::write(path, format!("#!{} -IES\n{script}", python.trim())).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Three members with Sentinel.
struct Members {
    folder: TempDir,
    /// The third number of their addresses. The second one depends on the process id.
    network: u8,
    running: Vec<[Option<Child>; 2]>,
}

impl Drop for Members {
    fn drop(&mut self) {
        (0..3).for_each(|member| self.kill(member));
    }
}

impl Members {
    fn start() -> Self {
        let mut members = Self::new();
        (0..3).for_each(|member| members.run(member));
        members
    }

    /// Creates the files; no member is running yet.
    fn new() -> Self {
        let folder = TempDir::with_prefix("members-").unwrap();
        // The generator's files for an overlay with the members of the base.
        let hosts = folder.path().join("k8s/base/valkey");
        fs::create_dir_all(&hosts).unwrap();
        fs::create_dir_all(folder.path().join("k8s/overlays/here")).unwrap();
        fs::copy(root().join("k8s/base/valkey/hosts.yaml"), hosts.join("hosts.yaml")).unwrap();
        generate_secrets(folder.path()).unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(test_servers::valkey_program().unwrap(), bin.join("valkey-server")).unwrap();
        write_cli(&bin.join("valkey-cli"));
        static NETWORKS: AtomicU8 = AtomicU8::new(0);
        let network = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let running = vec![[None, None], [None, None], [None, None]];
        Self { folder, network, running }
    }

    fn secret(&self, name: &str) -> String {
        fs::read_to_string(self.path("k8s/overlays/here/secrets").join(name)).unwrap()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// A loopback address that is probably not used by another process.
    fn host(&self, member: usize) -> String {
        let process = 1 + std::process::id() % 250;
        format!("127.{process}.{}.{}", self.network, member + 1)
    }

    /// A script of the manifests, with the environment that the StatefulSet provides.
    fn script(&self, name: &str, member: usize) -> Command {
        let here = self.path(&member.to_string());
        let path = std::env::var("PATH").unwrap();
        let hosts: Vec<String> = (0..3).map(|member| self.host(member)).collect();
        // The script is killed when this process ends for any reason.
        let mut script = Command::new("setpriv");
        script
            .args(["--pdeathsig", "KILL", "sh"])
            .arg(root().join("k8s/base/valkey").join(name))
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("VALKEY_HOST", self.host(member))
            .env("VALKEY_HOSTS", hosts.join(" "))
            .env("REPLICAS_MIN", "1")
            .env("QUORUM", "2")
            .env("DOWN_AFTER_MS", "1500")
            .env("REPLICATION_PASSWORD", self.secret("replication-password"))
            .env("SENTINEL_PASSWORD", self.secret("sentinel-password"))
            .env("RUN", &here)
            .env("DATA", here.join("data"))
            .env("STATE", here.join("data/sentinel"))
            .env("BASE_CONF", here.join("base.conf"))
            .env("VALKEY_ARGS", format!("--bind {}", self.host(member)))
            .env("SENTINEL_ARGS", format!("--bind {}", self.host(member)));
        script
    }

    /// Starts both containers of a member.
    fn run(&mut self, member: usize) {
        let here = self.path(&member.to_string());
        fs::create_dir_all(here.join("data")).unwrap();
        let conf = fs::read_to_string(root().join("k8s/base/valkey/valkey.conf")).unwrap();
        let acl = self.path("k8s/overlays/here/secrets/users.acl");
        let conf = conf
            .replace("dir /data\n", &format!("dir {}\n", here.join("data").display()))
            .replace("/etc/valkey-acl/users.acl", &acl.display().to_string());
        fs::write(here.join("base.conf"), conf).unwrap();
        self.running[member] = ["valkey", "sentinel"].map(|name| {
            let log = here.join(format!("{name}.log"));
            let log = File::options().create(true).append(true).open(log).unwrap();
            let mut script = self.script(&format!("{name}.sh"), member);
            script.stdout(log.try_clone().unwrap()).stderr(log);
            Some(script.spawn().unwrap())
        });
    }

    /// Kills both containers of a member.
    fn kill(&mut self, member: usize) {
        for child in self.running[member].iter_mut().filter_map(Option::take) {
            let mut child = child;
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn cli(&self, member: usize, port: &str, user: Option<&str>, words: &[&str]) -> String {
        let mut cli = Command::new(self.path("bin/valkey-cli"));
        cli.args(["-h", &self.host(member), "-p", port]);
        let password = match user {
            Some("grafana") => Some(self.secret("valkey-grafana-password")),
            Some(user) => Some(self.secret(&format!("{user}-password"))),
            None if port == "26379" => Some(self.secret("sentinel-password")),
            None => None,
        };
        cli.args(user.map(|user| ["--user", user]).into_iter().flatten());
        cli.envs(password.map(|password| ("VALKEYCLI_AUTH", password)));
        let output = cli.args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().into()
    }

    fn ask(&self, member: usize, user: &str, words: &[&str]) -> String {
        self.cli(member, "6379", Some(user), words)
    }

    /// Calls the script as the aggregator, and returns the replies. Its arguments contain zero
    /// bytes, which cannot be passed to a program.
    fn call(&self, member: usize, call: &Call) -> String {
        let password = self.secret("aggregator-password");
        let mut login = Call::default();
        ["AUTH", "aggregator", &password].iter().for_each(|word| login.push(word.as_bytes()));
        let mut quit = Call::default();
        quit.push(b"QUIT");
        let mut stream = TcpStream::connect((self.host(member), 6379)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(&[login, call.clone(), quit].map(|call| call.encode()).concat()).unwrap();
        let mut replies = String::new();
        stream.read_to_string(&mut replies).unwrap();
        replies
    }

    fn logs(&self) -> String {
        let files =
            (0..3).flat_map(|m| ["valkey", "sentinel"].map(|name| format!("{m}/{name}.log")));
        files.map(|f| format!("{f}:\n{}\n", fs::read_to_string(self.path(&f)).unwrap())).collect()
    }

    /// Waits until there is one primary, two replicas with its data, and three Sentinels that know
    /// them. Returns the primary.
    fn settled(&self) -> usize {
        self.wait("one primary and two replicas", || {
            let info: Vec<String> =
                (0..3).map(|m| self.ask(m, "sentinel", &["info", "replication"])).collect();
            let primary = info.iter().position(|text| text.contains("role:master"))?;
            let synced = info.iter().filter(|text| text.contains("master_link_status:up")).count();
            let good = info[primary].contains("min_slaves_good_slaves:2");
            let agree = (0..3).all(|member| self.sentinel_follows(member, primary));
            (synced == 2 && good && agree).then_some(primary)
        })
    }

    fn sentinel_follows(&self, member: usize, primary: usize) -> bool {
        let answer = self.cli(member, "26379", None, &["sentinel", "master", "doorbuster"]);
        let lines: Vec<&str> = answer.lines().collect();
        let value = |name| {
            lines.iter().position(|line| *line == name).and_then(|at| lines.get(at + 1).copied())
        };
        value("ip") == Some(&*self.host(primary))
            && value("num-slaves") == Some("2")
            && value("num-other-sentinels") == Some("2")
            && value("flags") == Some("master")
    }

    #[track_caller]
    fn wait<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(start.elapsed() < LIMIT, "no {what} in {LIMIT:?}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn is_ready(&self, member: usize) -> bool {
        self.script("ready.sh", member).status().unwrap().success()
    }
}

#[test]
fn the_data_outlives_crashes_lost_disks_planned_stops_and_outages() {
    let mut members = Members::start();
    let first = members.settled();
    assert_eq!(first, 0, "the first member begins as the primary");
    assert_eq!(members.ask(first, "aggregator", &["set", "total_ventas", "7"]), "OK");
    members.wait("readiness", || (0..3).all(|member| members.is_ready(member)).then_some(()));

    // The member restarts at once with an empty disk, and must not replicate that to the others.
    members.kill(first);
    assert!(!members.is_ready(first));
    fs::remove_dir_all(members.path(&format!("{first}/data"))).unwrap();
    members.run(first);
    let second = members.settled();
    assert_ne!(second, first);
    for member in 0..3 {
        assert_eq!(members.ask(member, "aggregator", &["get", "total_ventas"]), "7", "{member}");
    }

    // A planned stop transfers the role to another member first.
    assert!(members.script("stop.sh", second).status().unwrap().success());
    assert!(members.ask(second, "sentinel", &["info", "replication"]).contains("role:slave"));
    let third = members.settled();
    assert_ne!(third, second);
    assert_eq!(members.ask(third, "aggregator", &["set", "total_ventas", "8"]), "OK");
    members.wait("a flush", || {
        let info = members.ask(third, "sentinel", &["info", "persistence"]);
        info.contains("aof_pending_bio_fsync:0").then_some(())
    });
    std::thread::sleep(Duration::from_millis(1500)); // everysec: not observable from outside

    // All are killed at once: the primary is stored on disk.
    (0..3).for_each(|member| members.kill(member));
    (0..3).for_each(|member| members.run(member));
    assert_eq!(members.settled(), third);
    assert_eq!(members.ask(third, "aggregator", &["get", "total_ventas"]), "8");
}

#[test]
fn a_sentinel_restarts_although_no_name_resolves() {
    let mut members = Members::new();
    let state = members.path("0/data/sentinel");
    fs::create_dir_all(&state).unwrap();
    // The state in which a Sentinel leaves the file if no name could be resolved at its start.
    let replica = "sentinel known-replica doorbuster valkey-0.invalid 6379\n";
    let damaged =
        format!("sentinel monitor doorbuster valkey-0.invalid 6379 2\n{replica}{replica}");
    fs::write(state.join("sentinel.conf"), damaged).unwrap();
    for start in 0..2 {
        let log = members.path(&format!("0/start-{start}.log"));
        let out = File::create(&log).unwrap();
        let mut script = members.script("sentinel.sh", 0);
        script
            .env("VALKEY_HOST", "valkey-1.invalid")
            .env("VALKEY_HOSTS", "valkey-0.invalid valkey-1.invalid valkey-2.invalid")
            .stdout(out.try_clone().unwrap())
            .stderr(out);
        members.running[0][1] = Some(script.spawn().unwrap());
        let began = Instant::now();
        while members.cli(0, "26379", None, &["ping"]) != "PONG" {
            let said = fs::read_to_string(&log).unwrap();
            let is_over = said.contains("FATAL") || began.elapsed() > LIMIT;
            assert!(!is_over, "start {start}:\n{said}");
            std::thread::sleep(Duration::from_millis(500));
        }
        let known = members.cli(0, "26379", None, &["sentinel", "replicas", "doorbuster"]);
        for replica in ["valkey-1.invalid", "valkey-2.invalid"] {
            assert!(known.lines().any(|line| line == replica), "start {start}:\n{known}");
        }
        members.kill(0);
    }
}

#[test]
fn users_may_do_what_they_need_and_no_more() {
    let members = Members::start();
    let primary = members.settled();
    let ask = |user: &str, words: &[&str]| members.ask(primary, user, words);
    let mut known = Known::default();
    for offset in 0..2 {
        let mut update = batch(offset);
        let unknown = Reply::Error("NOSCRIPT ".into());
        assert_eq!(update.reply(unknown, &mut known), Ok(Step::Send), "the source goes next");
        let reply = members.call(primary, &update.command(&known).unwrap());
        assert!(reply.contains("\r\napplied\r\n"), "{reply}");
        let applied = Reply::Values(vec![b"applied".to_vec()]);
        assert_eq!(update.reply(applied, &mut known), Ok(Step::Done));
    }
    let claim = include_str!("../../../../crates/sales/idempotency/src/claim.lua");
    let keys = ["3", "claims:sales-topic", "claims_before:sales-topic", "claims_since:sales-topic"];
    // A generation holds one key, so the second claim starts a new one.
    for key in ["one", "two"] {
        let call = [&["eval", claim][..], &keys, &[key, "fingerprint", "1", "1000"]].concat();
        assert_eq!(ask("writer", &call), "claimed");
    }
    for user in ["aggregator", "writer"] {
        assert!(ask(user, &["info"]).contains("role:master"));
        assert_eq!(ask(user, &["config", "get", "appendonly"]), "appendonly\nyes");
        assert!(ask(user, &["role"]).starts_with("master"));
    }
    assert_eq!(ask("grafana", &["get", "total_ventas"]), "2");
    assert_eq!(ask("grafana", &["zrange", "ranking_productos", "0", "-1"]), "p");
    assert_eq!(ask("grafana", &["hget", "ingresos:Belleza", "total"]), "20");
    assert!(
        ask("grafana", &["xrevrange", "stream_precio_producto_unico:Belleza", "+", "-"])
            .contains("5")
    );
    let read = include_str!("../../../../crates/sales/figures/src/read.lua");
    let call = ["eval_ro", read, "1", "total_ventas", "2", "mget", "total_ventas", "1", "time"];
    assert!(ask("dashboard", &call).starts_with("1\n2\n2\n"), "{}", ask("dashboard", &call));
    let call =
        ["eval_ro", read, "1", "ingresos:Belleza", "3", "hmget", "ingresos:Belleza", "total"];
    assert_eq!(ask("dashboard", &call), "1\n20");
    let copied = ask("audit", &["keys", "*"]);
    assert!(copied.contains("claims_since:sales-topic"), "{copied}");
    assert!(ask("audit", &["memory", "usage", "total_ventas"]).parse::<u32>().is_ok());
    assert_eq!(ask("audit", &["hget", "offset:g:t", "0"]), "2");
    let denied: [(&str, &[&str]); 16] = [
        ("audit", &["set", "total_ventas", "0"]),
        ("audit", &["flushall"]),
        ("audit", &["config", "get", "appendonly"]),
        ("audit", &["client", "pause", "1"]),
        ("audit", &["client", "kill", "type", "normal"]),
        ("dashboard", &["set", "total_ventas", "0"]),
        ("dashboard", &["get", "claims_since:sales-topic"]),
        ("grafana", &["set", "total_ventas", "0"]),
        ("grafana", &["get", "claims_since:sales-topic"]),
        ("grafana", &["flushall"]),
        ("writer", &["set", "total_ventas", "0"]),
        ("writer", &["flushall"]),
        ("aggregator", &["hget", "claims:sales-topic", "one"]),
        ("aggregator", &["config", "set", "appendonly", "no"]),
        ("replication", &["get", "total_ventas"]),
        ("sentinel", &["get", "total_ventas"]),
    ];
    for (user, words) in denied {
        assert!(ask(user, words).starts_with("NOPERM"), "{user}: {words:?}: {}", ask(user, words));
    }
    assert!(members.cli(primary, "6379", None, &["ping"]).starts_with("NOAUTH"));
}

/// A batch of one sale with an idempotency key.
fn batch(offset: i64) -> Update {
    let source = Source {
        namespace: Namespace::fixed("", &NAMES).unwrap(),
        group: "g".into(),
        topic: "t".into(),
        log_id: "log".into(),
        partition: 0,
    };
    let expected_position = Some(offset).filter(|offset| *offset > 0);
    let range = OffsetRange { start: offset, end: offset + 1, expected_position };
    // A generation holds one fingerprint, so the second batch starts a new one.
    let limits = RetentionLimits { keys_max: 1, window_s: 1 };
    let sale = Sale { category: 4, product_id: "p".into(), price: 5.0, quantity: 2 }.to_json();
    let key = offset.to_string();
    let record = Record {
        offset,
        timestamp_ms: Some(1_700_000_000_000),
        idempotency_key: Some(key.as_bytes()),
        value: Some(&sale),
    };
    Update::from_records(source, range, limits, [record])
}

#[test]
fn secrets_are_made_once_and_for_their_owner_only() {
    let folder = TempDir::new().unwrap();
    let hosts = folder.path().join("k8s/base/valkey");
    fs::create_dir_all(&hosts).unwrap();
    for overlay in ["one", "two"] {
        fs::create_dir_all(folder.path().join("k8s/overlays").join(overlay)).unwrap();
    }
    fs::copy(root().join("k8s/base/valkey/hosts.yaml"), hosts.join("hosts.yaml")).unwrap();
    let made = generate_secrets(folder.path()).unwrap();
    assert_eq!(made.len(), 26);
    let contents: Vec<String> = made.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    for (index, path) in made.iter().enumerate() {
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600, "{}", path.display());
        assert!(!contents[index + 1..].contains(&contents[index]), "twice: {}", path.display());
    }
    // Only the missing file is created again.
    fs::remove_file(&made[0]).unwrap();
    assert_eq!(generate_secrets(folder.path()).unwrap(), [made[0].clone()]);
    let again: Vec<String> = made.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert_ne!(again[0], contents[0]);
    assert_eq!(again[1..], contents[1..]);
}
