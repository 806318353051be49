//! The log of the component.

use std::sync::Once;

use tracing::level_filters::LevelFilter;

/// Writes events of `tracing` to standard error, which the host adds to its log. The environment
/// variable `RUST_LOG` of the component sets the level. A subscriber that was installed before
/// remains.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let level = level(std::env::var("RUST_LOG").ok().as_deref());
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(std::io::stderr)
            .finish();
        drop(tracing::subscriber::set_global_default(subscriber));
    });
}

fn level(setting: Option<&str>) -> LevelFilter {
    setting.and_then(|text| text.parse().ok()).unwrap_or(LevelFilter::INFO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_info_unless_the_environment_names_another() {
        assert_eq!(level(None), LevelFilter::INFO);
        assert_eq!(level(Some("debug")), LevelFilter::DEBUG);
        assert_eq!(level(Some("my_crate=debug")), LevelFilter::INFO);
    }
}
