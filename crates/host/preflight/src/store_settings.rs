//! The settings of Valkey, and the warnings about them.

use std::collections::BTreeMap;

use valkey_codec::{PRIMARY, ROLE};

use crate::Warning;

const APPEND_FSYNC: &str = "appendfsync";
const APPEND_ONLY: &str = "appendonly";
const APPEND_STATUS: &str = "aof_last_write_status";
const CLUSTER: &str = "cluster_enabled";
const MEMORY: &str = "maxmemory";
const MEMORY_POLICY: &str = "maxmemory-policy";
const MIN_REPLICAS: &str = "min-replicas-to-write";
const SAVE: &str = "save";
const SAVE_STATUS: &str = "rdb_last_bgsave_status";

/// The parameters that are read with CONFIG GET.
pub(crate) const PARAMETERS: [&str; 6] =
    [APPEND_ONLY, APPEND_FSYNC, SAVE, MEMORY, MEMORY_POLICY, MIN_REPLICAS];

const APPEND: &str = "Set appendonly to yes and appendfsync to everysec";

/// The settings of Valkey; None for those that it does not report.
#[derive(Debug, Clone, Default)]
pub(crate) struct StoreSettings {
    role: Option<String>,
    cluster: bool,
    appends: Option<bool>,
    append_fsync: Option<String>,
    append_status: Option<String>,
    save: Option<String>,
    save_status: Option<String>,
    memory: Option<u64>,
    memory_policy: Option<String>,
    min_replicas: Option<String>,
}

impl StoreSettings {
    /// Parses the text of INFO and the replies to CONFIG GET. Either may be empty.
    pub fn new(info: &str, config: &BTreeMap<String, String>) -> Self {
        let info: BTreeMap<&str, &str> =
            info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        let reported = |name: &str| info.get(name).map(|value| (*value).to_owned());
        let configured = |name: &str| config.get(name).cloned();
        Self {
            role: reported(ROLE),
            cluster: reported(CLUSTER).is_some_and(|value| value != "0"),
            appends: reported("aof_enabled")
                .map(|value| value != "0")
                .or_else(|| configured(APPEND_ONLY).map(|value| value != "no")),
            append_fsync: configured(APPEND_FSYNC),
            append_status: reported(APPEND_STATUS),
            save: configured(SAVE),
            save_status: reported(SAVE_STATUS),
            memory: reported(MEMORY)
                .or_else(|| configured(MEMORY))
                .and_then(|bytes| bytes.parse().ok()),
            memory_policy: reported("maxmemory_policy").or_else(|| configured(MEMORY_POLICY)),
            min_replicas: configured(MIN_REPLICAS),
        }
    }

    /// A warning for each setting that can break the guarantee.
    pub fn warnings(&self) -> Vec<Warning> {
        let found = [
            self.replica(),
            self.cluster_mode(),
            self.eviction(),
            self.persistence(),
            self.fsync(),
            self.failed_append(),
            self.failed_save(),
            self.not_known(),
        ];
        found.into_iter().flatten().collect()
    }

    fn replica(&self) -> Option<Warning> {
        let role = self.role.as_deref().filter(|role| *role != PRIMARY)?;
        Some(Warning::new(
            ROLE,
            role,
            "this server is a replica and rejects writes, so nothing is counted",
            "Give the address of its primary",
        ))
    }

    /// The warning that only applies if a replica may be promoted.
    pub fn lone_primary(&self) -> Option<Warning> {
        let found = self.min_replicas.as_deref().filter(|count| *count == "0")?;
        Some(Warning::new(
            MIN_REPLICAS,
            found,
            "after a failover the old primary, or a primary that is cut off from its replicas, \
             accepts updates that are lost later; they are counted again from Kafka, which takes \
             time",
            "Set min-replicas-to-write to 1 on every server",
        ))
    }

    fn cluster_mode(&self) -> Option<Warning> {
        self.cluster.then(|| {
            Warning::new(
                CLUSTER,
                1,
                "the keys of one update are in several hash slots, and a cluster rejects a script \
                 with keys in more than one slot, so nothing is counted",
                "Give the address of a server that is not part of a cluster",
            )
        })
    }

    fn eviction(&self) -> Option<Warning> {
        let memory = self.memory.filter(|bytes| *bytes > 0)?;
        // The pipeline's keys have no expiry, so a policy `volatile-*` evicts none of them.
        let policy =
            self.memory_policy.as_deref().filter(|policy| policy.starts_with("allkeys-"))?;
        Some(Warning::new(
            MEMORY_POLICY,
            policy,
            format!(
                "a store that exceeds {memory} bytes deletes counters and positions without an \
                 error, and the counts are wrong from then on"
            ),
            "Set maxmemory-policy to noeviction: then a full store reports an error, and the batch \
             is retried",
        ))
    }

    fn persistence(&self) -> Option<Warning> {
        if self.appends? {
            return None;
        }
        let snapshots = self.save.as_deref().is_none_or(|save| !save.is_empty());
        let consequence = if snapshots {
            "after a crash the store has the state of its last snapshot, if there is one; later \
             sales are counted again from Kafka, which takes time, and only if the topic still \
             contains them"
        } else {
            "the store is empty after every restart, and all sales are counted again from Kafka, \
             which takes time, and only if the topic still contains them"
        };
        Some(Warning::new(APPEND_ONLY, self.persistence_found(), consequence, APPEND))
    }

    fn persistence_found(&self) -> String {
        match self.save.as_deref() {
            Some("") => "no, and save is empty".into(),
            Some(save) => format!("no, and save is {save}"),
            None => "no".into(),
        }
    }

    /// With `everysec`, a crash loses up to two seconds of writes, and these records are read
    /// again.
    fn fsync(&self) -> Option<Warning> {
        let fsync = self.append_fsync.as_deref().filter(|fsync| *fsync == "no")?;
        (self.appends == Some(true)).then(|| {
            Warning::new(
                APPEND_FSYNC,
                fsync,
                "the operating system decides when the file is written to disk: a crash of the \
                 machine loses the updates of half a minute or more, which are counted again from \
                 Kafka, and that takes time",
                "Set appendfsync to everysec",
            )
        })
    }

    fn failed_append(&self) -> Option<Warning> {
        let status = self.append_status.as_deref().filter(|status| *status != "ok")?;
        Some(Warning::new(
            APPEND_STATUS,
            status,
            "the last write to the append-only file failed, and Valkey rejects all writes until \
             one succeeds, so nothing is counted",
            "Check Valkey's log and the free space of its disk",
        ))
    }

    fn failed_save(&self) -> Option<Warning> {
        let status = self.save_status.as_deref().filter(|status| *status != "ok")?;
        Some(Warning::new(
            SAVE_STATUS,
            status,
            "the last snapshot failed, so a restart may restore an older state; with \
             stop-writes-on-bgsave-error, Valkey also rejects writes and nothing is counted",
            "Check Valkey's log, and the free space of its disk and memory",
        ))
    }

    fn not_known(&self) -> Option<Warning> {
        let known = [
            (ROLE, self.role.is_some()),
            (MEMORY, self.memory.is_some()),
            (MEMORY_POLICY, self.memory_policy.is_some()),
            (APPEND_ONLY, self.appends.is_some()),
            // Each of the two is only relevant with, or only without, an append-only file.
            (APPEND_FSYNC, self.append_fsync.is_some() || self.appends == Some(false)),
            (SAVE, self.save.is_some() || self.appends == Some(true)),
            (APPEND_STATUS, self.append_status.is_some()),
            (SAVE_STATUS, self.save_status.is_some()),
        ];
        let missing: Vec<&str> =
            known.iter().filter(|(_, known)| !known).map(|(name, _)| *name).collect();
        Warning::not_known(
            &missing,
            "Grant this user INFO and CONFIG GET, or check the server's settings by hand",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.2.4\r\n# Memory\r\nmaxmemory:0\r\n\
                        maxmemory_policy:noeviction\r\n# Persistence\r\naof_enabled:1\r\n\
                        aof_last_write_status:ok\r\nrdb_last_bgsave_status:ok\r\n\
                        # Replication\r\nrole:master\r\n# Cluster\r\ncluster_enabled:0\r\n";

    /// The warnings about a correct store after these replacements in its INFO.
    fn warnings(changes: &[(&str, &str)], config: &[(&str, &str)]) -> Vec<Warning> {
        let info = changes.iter().fold(INFO.to_owned(), |info, (from, to)| {
            assert!(info.contains(from), "{from}");
            info.replace(from, to)
        });
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let sound = [(APPEND_FSYNC, "everysec"), (SAVE, "3600 1")];
        let config = sound.iter().chain(config).map(owned).collect();
        StoreSettings::new(&info, &config).warnings()
    }

    /// The only warning about such a store.
    #[track_caller]
    fn only(changes: &[(&str, &str)], config: &[(&str, &str)]) -> Warning {
        let [warning] = warnings(changes, config).try_into().unwrap();
        warning
    }

    const NO_APPEND: (&str, &str) = ("aof_enabled:1", "aof_enabled:0");
    const BOUNDED: (&str, &str) = ("maxmemory:0", "maxmemory:1000000");

    #[test]
    fn a_sound_store_gives_no_warning() {
        assert_eq!(warnings(&[], &[]), []);
        assert_eq!(warnings(&[BOUNDED], &[(APPEND_FSYNC, "always"), (SAVE, "")]), []);
    }

    #[test]
    fn with_snapshots_a_crash_restores_the_last_one() {
        let warning = only(&[NO_APPEND], &[]);
        assert_eq!(
            (warning.setting.as_str(), warning.found.as_str()),
            (APPEND_ONLY, "no, and save is 3600 1")
        );
        assert!(warning.consequence.contains("last snapshot"), "{warning}");
    }

    #[test]
    fn without_a_file_a_restart_empties_the_store() {
        let warning = only(&[NO_APPEND], &[(SAVE, "")]);
        assert_eq!(warning.found, "no, and save is empty");
        assert!(warning.consequence.contains("empty after every restart"), "{warning}");
    }

    #[test]
    fn a_file_without_fsync_causes_a_warning_only_if_it_is_written() {
        assert_eq!(only(&[], &[(APPEND_FSYNC, "no")]).setting, APPEND_FSYNC);
        assert_eq!(only(&[NO_APPEND], &[(APPEND_FSYNC, "no")]).setting, APPEND_ONLY);
    }

    #[test]
    fn a_limit_causes_a_warning_only_if_any_key_may_be_evicted() {
        for policy in ["allkeys-lru", "allkeys-lfu", "allkeys-random"] {
            let evicts = ("noeviction", policy);
            assert_eq!(only(&[BOUNDED, evicts], &[]).found, policy);
            assert_eq!(warnings(&[evicts], &[]), []);
        }
        assert_eq!(warnings(&[BOUNDED, ("noeviction", "volatile-lru")], &[]), []);
    }

    #[test]
    fn a_replica_counts_nothing() {
        assert_eq!(only(&[("role:master", "role:slave")], &[]).found, "slave");
    }

    #[test]
    fn a_primary_that_accepts_writes_without_a_replica_causes_a_warning_of_its_own() {
        let settings = |count: &str| {
            let config = [(MIN_REPLICAS.to_owned(), count.to_owned())].into();
            StoreSettings::new(INFO, &config)
        };
        assert_eq!(settings("0").lone_primary().unwrap().setting, MIN_REPLICAS);
        assert_eq!(settings("1").lone_primary(), None);
        assert_eq!(StoreSettings::new(INFO, &BTreeMap::new()).lone_primary(), None);
        assert_eq!(warnings(&[], &[(MIN_REPLICAS, "0")]), []);
    }

    #[test]
    fn a_cluster_counts_nothing() {
        let cluster = ("cluster_enabled:0", "cluster_enabled:1");
        assert_eq!(only(&[cluster], &[]).setting, CLUSTER);
    }

    #[test]
    fn a_failed_write_causes_a_warning() {
        for name in [APPEND_STATUS, SAVE_STATUS] {
            let failed = (format!("{name}:ok"), format!("{name}:err"));
            assert_eq!(only(&[(&failed.0, &failed.1)], &[]).setting, name);
        }
    }

    #[test]
    fn without_config_only_relevant_parameters_are_missing() {
        let missing = |info: &str| {
            let [.., warning] = &StoreSettings::new(info, &BTreeMap::new()).warnings()[..] else {
                panic!("no warning");
            };
            warning.setting.clone()
        };
        assert_eq!(missing(INFO), "appendfsync");
        assert_eq!(missing(&INFO.replace("aof_enabled:1", "aof_enabled:0")), "save");
        assert_eq!(missing("").split(", ").count(), 8);
    }

    #[test]
    fn config_replaces_missing_fields_of_info() {
        let config =
            [(APPEND_ONLY, "no"), (SAVE, ""), (MEMORY, "1000000"), (MEMORY_POLICY, "allkeys-lru")];
        let config = config.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let found = StoreSettings::new("", &config).warnings();
        let settings: Vec<&str> = found.iter().map(|warning| warning.setting.as_str()).collect();
        assert_eq!(settings[..2], [MEMORY_POLICY, APPEND_ONLY]);
        assert!(settings[2].starts_with("role, "), "{settings:?}");
    }
}
