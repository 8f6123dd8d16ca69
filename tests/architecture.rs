//! The walls of the house, held by reading the `use` lines.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the source has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no sources");
    found
}

/// The lines of a file outside its test module.
fn production(text: &str) -> impl Iterator<Item = &str> {
    text.lines().take_while(|line| !line.contains("#[cfg(test)]"))
}

fn offenders(folder: &str, forbidden: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources(folder) {
        if path.file_name().is_some_and(|n| n.to_string_lossy().contains("tests")) {
            continue;
        }
        for line in production(&text).filter(|l| !l.trim_start().starts_with("//")) {
            if let Some(word) = forbidden.iter().find(|word| line.contains(*word)) {
                found.push(format!("{}: `{word}` in: {}", path.display(), line.trim()));
            }
        }
    }
    found
}

#[test]
fn the_domain_knows_no_clock_no_network_and_no_room_above_it() {
    let forbidden = [
        "tokio",
        "std::env",
        "std::fs",
        "std::net",
        "std::process",
        "Instant",
        "SystemTime",
        "Timestamp::now",
        "reqwest",
        "crate::port",
        "crate::engine",
        "crate::adapter",
        "crate::config",
        "crate::cli",
        "crate::report",
        "crate::registry",
        "crate::platform",
    ];
    assert_eq!(offenders("src/domain", &forbidden), Vec::<String>::new());
}

#[test]
fn arrows_between_rooms_point_down_only() {
    for (room, above) in [
        (
            "src/document",
            &[
                "crate::port",
                "crate::engine",
                "crate::adapter",
                "crate::config",
                "crate::cli",
                "crate::report",
                "crate::registry",
            ][..],
        ),
        (
            "src/platform",
            &[
                "crate::document",
                "crate::domain",
                "crate::error",
                "crate::port",
                "crate::engine",
                "crate::adapter",
                "crate::config",
                "crate::cli",
                "crate::report",
                "crate::registry",
            ],
        ),
        (
            "src/port",
            &[
                "crate::engine",
                "crate::adapter",
                "crate::config",
                "crate::cli",
                "crate::report",
                "crate::registry",
            ],
        ),
        (
            "src/adapter",
            &["crate::engine", "crate::config", "crate::cli", "crate::report", "crate::registry"],
        ),
        (
            "src/engine",
            &["crate::adapter", "crate::config", "crate::cli", "crate::report", "crate::registry"],
        ),
        ("src/config", &["crate::cli", "crate::report"]),
        ("src/report", &["crate::adapter", "crate::config", "crate::cli", "crate::registry"]),
    ] {
        assert_eq!(offenders(room, above), Vec::<String>::new(), "{room}");
    }
}

#[test]
fn only_one_room_knows_which_system_it_is_on() {
    let forbidden = ["rustix", "std::os::", "tokio::signal", "cfg(unix)", "cfg(windows)", "cfg!("];
    for room in ["adapter", "cli", "config", "document", "domain", "engine", "port", "report"] {
        let mut found = offenders(&format!("src/{room}"), &forbidden);
        // The demo is not for Windows.
        found.retain(|line| !line.contains("src/cli/demo.rs"));
        assert_eq!(found, Vec::<String>::new(), "{room}");
    }
}

#[test]
fn the_engine_branches_on_no_provider() {
    let forbidden = ["haproxy", "postgres", "sqlite", "prometheus", "HAProxy"];
    assert_eq!(offenders("src/engine", &forbidden), Vec::<String>::new());
}

/// Half of a secret is not found any more: what others wrote is shortened in one place, which takes secrets out
/// first. What may cut is a name that is made, a list, or no text of others.
#[test]
fn nobody_else_shortens_what_others_wrote() {
    let cuts = ["chars().take(", "char_indices().nth(", ".truncate(cut"];
    let may = [
        "src/port/excerpt.rs",
        "src/adapter/database/rds/name.rs",
        "src/adapter/database/store.rs",
        "src/adapter/ecs_api/tags.rs",
        // a position in a script, of which lines are counted
        "src/adapter/sql_client/postgres.rs",
        "src/config/init.rs",
    ];
    let mut found: Vec<String> = Vec::new();
    for room in [
        "src/adapter",
        "src/cli",
        "src/config",
        "src/document",
        "src/domain",
        "src/engine",
        "src/port",
        "src/report",
    ] {
        found.extend(offenders(room, &cuts));
    }
    found.retain(|line| !may.iter().any(|file| line.contains(file)));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_path_the_documents_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let top = ["src/", "tests/", "scripts/", "docs/", "schema/", ".ci/"];
            let pattern = quoted.contains(['*', '<', ' ']);
            if top.iter().any(|t| quoted.starts_with(t)) && !pattern {
                assert!(root.join(quoted).exists(), "{document} names `{quoted}`, which does not exist");
            }
        }
    }
}

#[test]
fn the_readme_has_every_command_and_every_exit_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let reference = fs::read_to_string(root.join("docs/commands.md")).unwrap();
    for row in reference.lines().skip_while(|l| *l != "## Exit codes").filter(|l| l.starts_with("| ")) {
        assert!(readme.contains(row), "README.md lacks the row: {row}");
    }
    for command in reference.lines().filter_map(|l| l.strip_prefix("## ")).filter(|c| !c.contains(' ')) {
        assert!(readme.contains(&format!("`{command}`")), "README.md does not name `{command}`");
    }
}

/// `v1` moves: a workflow that is pinned would run other code.
#[test]
fn called_workflows_refer_to_the_actions_of_their_own_version() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let version = concat!("@v", env!("CARGO_PKG_VERSION"));
    let mut found = 0;
    for file in ["deploy-production", "rollback", "tick"] {
        let text = fs::read_to_string(root.join(format!(".github/workflows/{file}.yml"))).unwrap();
        for line in text
            .lines()
            .filter(|line| line.trim_start_matches([' ', '-']).starts_with("uses: tidegate/tidegate/"))
        {
            assert!(line.ends_with(version), "{file}.yml: {line}; run scripts/generate");
            found += 1;
        }
    }
    assert!(found >= 7, "{found}");
}

#[test]
fn there_is_one_tls_stack() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).unwrap();
    for other in ["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys"] {
        assert!(!lock.contains(&format!("name = \"{other}\"\n")), "{other} came in beside rustls with ring");
    }
}
