//! The log of the component.

use std::sync::Once;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Writes events of `tracing` to standard error, which the host adds to its log. The environment
/// variable `RUST_LOG` of the component sets the level; a value that is not a level is reported. A
/// subscriber that was installed before remains.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let setting = std::env::var("RUST_LOG").unwrap_or_default();
        let level = level(&setting);
        let level_or_default = level.unwrap_or(LevelFilter::INFO);
        let subscriber = subscriber(level_or_default, std::io::stderr);
        drop(tracing::subscriber::set_global_default(subscriber));
        if level.is_none() {
            tracing::warn!(
                "RUST_LOG={setting} is not a level (off, error, warn, info, debug, trace); info is \
                 used"
            );
        }
    });
}

/// Writes the events of this level and of the more important ones.
pub fn subscriber<W>(level: LevelFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(writer).finish()
}

/// The level that the environment variable names; `None` if its value is not a level.
fn level(setting: &str) -> Option<LevelFilter> {
    if setting.is_empty() { Some(LevelFilter::INFO) } else { setting.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_info_unless_the_environment_names_another() {
        assert_eq!(level(""), Some(LevelFilter::INFO));
        assert_eq!(level("debug"), Some(LevelFilter::DEBUG));
        assert_eq!(level("off"), Some(LevelFilter::OFF));
        assert_eq!(level("my_crate=debug"), None);
    }
}
