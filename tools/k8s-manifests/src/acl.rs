//! The users of Valkey and their permissions.

use sha2::{Digest as _, Sha256};

/// A user of Valkey.
pub struct User {
    /// Its name.
    pub name: &'static str,
    /// The user's permissions, in the syntax of Valkey's ACL file.
    rights: &'static [&'static str],
}

/// All users. The user `default`, which is not used, is disabled.
pub const USERS: [User; 7] = [
    // Applies batches: the commands of crates/valkey/state/src/apply.lua for the changes that
    // crates/sales/aggregate makes, those for the position, and the commands of the client's
    // connection and of the checks at the start.
    User {
        name: "aggregator",
        rights: &[
            "+hello +ping +role +info +config|get +eval +evalsha",
            "+get +set +hget +hmget +hset +exists +rename +unlink",
            "+sadd +scard +smismember",
            "+xadd +xlen +zadd +zmscore",
            "~total_ventas ~precio_max_global ~precio_min_global",
            "~ranking_productos ~ranking_productos_cat:*",
            "~contador:* ~suma_cantidad:* ~suma_precio:* ~suma_precio_micros:*",
            "~ingresos:* ~promedio_productos:* ~promedio_precio_tag:*",
            "~producto_monitoreado_nombre:* ~stream_precio_producto_unico:*",
            "~offset:* ~offset_log:* ~adopted:* ~seen:* ~seen_before:* ~seen_since:*",
        ],
    },
    // Claims idempotency keys: crates/sales/idempotency/src/claim.lua.
    User {
        name: "writer",
        rights: &[
            "+hello +ping +role +info +config|get +eval +evalsha",
            "+get +set +hget +hset +hlen +exists +rename +unlink +time",
            "~claims:* ~claims_before:* ~claims_since:*",
        ],
    },
    // Reads the figures: crates/sales/figures. It cannot write.
    User {
        name: "dashboard",
        rights: &[
            "+hello +ping +role +info +config|get +eval_ro +time",
            "+mget +hmget +zcard +zrange +zrevrank +zscore +xrevrange",
            "%R~total_ventas %R~precio_max_global %R~precio_min_global",
            "%R~ranking_productos %R~ranking_productos_cat:*",
            "%R~contador:* %R~suma_cantidad:* %R~suma_precio:*",
            "%R~ingresos:* %R~promedio_productos:* %R~promedio_precio_tag:*",
            "%R~producto_monitoreado_nombre:* %R~stream_precio_producto_unico:*",
        ],
    },
    // Reads the keys of the contract and the revenue, and cannot write.
    User {
        name: "grafana",
        rights: &[
            "+hello +ping +info +select +get +hget +strlen +type",
            "+zrange +zcard +zscore +xrange +xrevrange +xlen",
            "%R~total_ventas %R~precio_max_global %R~precio_min_global",
            "%R~ranking_productos %R~ranking_productos_cat:*",
            "%R~contador:* %R~suma_cantidad:* %R~suma_precio:*",
            "%R~ingresos:* %R~promedio_productos:* %R~promedio_precio_tag:*",
            "%R~producto_monitoreado_nombre:* %R~stream_precio_producto_unico:*",
        ],
    },
    // Compares all values with the log: crates/cli/doorbuster/src/recount. It cannot write. Without
    // `-@admin` it could pause or disconnect all clients.
    User { name: "audit", rights: &["+@read +@connection -@admin +@transaction +info", "%R~*"] },
    // The commands that a replica sends to its primary.
    User { name: "replication", rights: &["+psync +replconf +ping"] },
    // The permissions that Sentinel's manual requires, and INFO for the scripts in k8s/base/valkey.
    User {
        name: "sentinel",
        rights: &[
            "&* +multi +exec +ping +info +role +publish +subscribe +replicaof +slaveof",
            "+config|rewrite +client|setname +client|kill +script|kill",
        ],
    },
];

/// The ACL file, with the hash of each user's password.
pub fn file(password: impl Fn(&str) -> String) -> String {
    let users = USERS.iter().map(|user| {
        let hash = hash(&password(user.name));
        // `reset` removes all keys, channels and commands first.
        format!("user {} reset on #{hash} {}\n", user.name, user.rights.join(" "))
    });
    std::iter::once("user default off\n".to_owned()).chain(users).collect()
}

/// The hash of a password in the form of an ACL file.
pub fn hash(password: &str) -> String {
    Sha256::digest(password).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A line of an ACL file, which defines a user.
#[derive(Debug)]
pub struct Line<'a> {
    /// The user's name.
    pub name: &'a str,
    /// The words after the name.
    pub words: Vec<&'a str>,
}

/// Parses the users of an ACL file.
pub fn parse(file: &str) -> impl Iterator<Item = Line<'_>> {
    file.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "user").then_some(())?;
        Some(Line { name: words.next()?, words: words.collect() })
    })
}

impl Line<'_> {
    /// Whether the user is enabled and has this password.
    pub fn takes(&self, password: &str) -> bool {
        self.words.contains(&"on") && self.words.contains(&format!("#{}", hash(password)).as_str())
    }

    /// Whether the user may read a key.
    pub fn reads(&self, key: &str) -> bool {
        self.words
            .iter()
            .filter_map(|word| word.strip_prefix("%R").unwrap_or(word).strip_prefix('~'))
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => key.starts_with(prefix),
                None => key == pattern,
            })
    }
}
