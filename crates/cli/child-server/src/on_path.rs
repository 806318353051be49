//! Looks for programs on the PATH.

use std::path::PathBuf;

/// The first folder on the PATH that has all these programs.
pub fn on_path(programs: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_all = |folder: &PathBuf| programs.iter().all(|name| folder.join(name).is_file());
    std::env::split_paths(&path).find(has_all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_only_where_all_of_them_are() {
        let folder = on_path(&["sh"]).expect("a shell is on the PATH");
        assert!(folder.join("sh").is_file());
        assert_eq!(on_path(&["sh", "no-such-program"]), None);
    }
}
