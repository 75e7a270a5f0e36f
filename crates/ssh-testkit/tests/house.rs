//! The house rules, as tests (`docs/architecture.md`): who may depend on whom, what must not be below `ssh-tokio`,
//! how long a file may be, and that the documents tell the truth about the code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what must be true by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The chain, bottom first: each crate names the one before it and no other.
const CHAIN: [&str; 7] = [
    "ssh-wire",
    "ssh-keys",
    "ssh-kex",
    "ssh-auth",
    "ssh-channel",
    "ssh-sftp",
    "ssh-tokio",
];
/// The front doors stand side by side on the last link of the chain.
const FRONT_DOORS: [&str; 2] = ["ssh-client", "ssh-server"];
/// Longest file and longest function, in lines.
const MAX_FILE_LINES: usize = 600;
const MAX_FUNCTION_LINES: usize = 70;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn crate_names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Whether a file is a `tests.rs` that its module declares for tests only.
fn is_of_tests(file: &Path) -> bool {
    let declared = || {
        let parent = read(file.with_file_name("mod.rs"));
        parent.contains("#[cfg(test)]\nmod tests;") || parent.contains("#[cfg(test)]\npub(crate) mod tests;")
    };
    file.ends_with("tests.rs") && declared()
}

/// The part of a source file that is compiled outside tests: everything before the in-file test module.
fn library_part(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests").next().unwrap()
}

fn siblings_of(name: &str) -> BTreeSet<String> {
    let manifest: toml::Table = read(root().join("crates").join(name).join("Cargo.toml"))
        .parse()
        .unwrap();
    let known: BTreeSet<String> = crate_names().into_iter().collect();
    let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
    dependencies
        .map(|table| table.keys().filter(|key| known.contains(*key)).cloned().collect())
        .unwrap_or_default()
}

#[test]
fn every_crate_of_the_chain_names_only_the_one_below() {
    assert!(
        siblings_of(CHAIN[0]).is_empty(),
        "{} stands at the bottom",
        CHAIN[0]
    );
    for pair in CHAIN.windows(2) {
        assert_eq!(
            siblings_of(pair[1]),
            BTreeSet::from([pair[0].to_owned()]),
            "{}",
            pair[1]
        );
    }
    for door in FRONT_DOORS {
        assert_eq!(
            siblings_of(door),
            BTreeSet::from(["ssh-tokio".to_owned()]),
            "{door}"
        );
    }
}

#[test]
fn no_io_clock_or_system_randomness_below_ssh_tokio() {
    let forbidden = [
        "tokio",
        "Instant::now",
        "SystemTime::now",
        "std::net",
        "std::fs",
        "getrandom",
        "SystemRandom",
        "thread_rng",
        "OsRng",
        "std::thread",
    ];
    for name in CHAIN.iter().filter(|name| **name != "ssh-tokio") {
        let folder = root().join("crates").join(name);
        let manifest: toml::Table = read(folder.join("Cargo.toml")).parse().unwrap();
        for dependency in manifest["dependencies"].as_table().unwrap().keys() {
            assert!(
                !["tokio", "getrandom", "mio", "socket2", "rand"].contains(&dependency.as_str()),
                "{name}: {dependency}"
            );
        }
        for file in rust_files(&folder.join("src")) {
            if is_of_tests(&file) {
                continue;
            }
            let text = read(&file);
            for line in library_part(&text)
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
            {
                for word in forbidden {
                    // ring does not sign with RSA without its own source of randomness, which cannot be replaced; what ring
                    // does not sign is blinded from the same source.
                    if word == "SystemRandom" && file.ends_with("ssh-keys/src/algorithm/rsa/private.rs") {
                        continue;
                    }
                    assert!(!line.contains(word), "{} names {word}: {line}", file.display());
                }
            }
        }
    }
}

#[test]
fn the_role_is_known_in_ssh_kex_only() {
    for name in CHAIN.iter().filter(|name| **name != "ssh-kex") {
        for file in rust_files(&root().join("crates").join(name).join("src")) {
            let text = read(&file);
            let code = library_part(&text);
            for word in ["is_client", "is_server"] {
                assert!(!code.contains(word), "{} names {word}", file.display());
            }
        }
    }
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    for name in crate_names() {
        let source = root().join("crates").join(&name).join("src");
        for start in ["lib.rs", "main.rs"] {
            let path = source.join(start);
            if path.exists() {
                assert!(
                    read(&path).contains("#![forbid(unsafe_code)]"),
                    "{} lacks it",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn files_and_functions_stay_short() {
    let mut long = Vec::new();
    for name in crate_names() {
        for file in rust_files(&root().join("crates").join(&name).join("src")) {
            let text = read(&file);
            let lines = text.lines().count();
            if lines > MAX_FILE_LINES {
                long.push(format!("{}: {lines} lines", file.display()));
            }
            long.extend(
                long_functions(&text)
                    .into_iter()
                    .map(|found| format!("{}: {found}", file.display())),
            );
        }
    }
    assert!(long.is_empty(), "too long:\n{}", long.join("\n"));
}

/// Functions over the limit, by the indentation rustfmt gives their closing brace.
fn long_functions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(usize, usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words = line.trim_start();
        match &open {
            None if is_function_start(words)
                && !line.trim_end().ends_with(';')
                && !line.trim_end().ends_with('}') =>
            {
                open = Some((number, indent, words.chars().take(60).collect()));
            }
            Some((start, at, name)) if indent == *at && words.starts_with('}') => {
                if number - start + 1 > MAX_FUNCTION_LINES {
                    found.push(format!("{name}… has {} lines", number - start + 1));
                }
                open = None;
            }
            Some((_, at, _)) if indent == *at && words.ends_with(';') => open = None,
            _ => {}
        }
    }
    found
}

fn is_function_start(words: &str) -> bool {
    let mut rest = words;
    for prefix in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async "] {
        rest = rest.strip_prefix(prefix).unwrap_or(rest);
    }
    rest.starts_with("fn ")
}

#[test]
fn nothing_is_left_to_do_in_the_code() {
    for folder in ["crates", "fuzz", "benches"] {
        for file in rust_files(&root().join(folder)) {
            if file.ends_with("house.rs") {
                continue;
            }
            let text = read(&file);
            for mark in ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!("] {
                assert!(!text.contains(mark), "{} holds {mark}", file.display());
            }
        }
    }
}

/// The names in the first column of the table under a heading of `docs/algorithms.md`.
fn documented(heading: &str) -> Vec<String> {
    let text = read(root().join("docs/algorithms.md"));
    let part = text
        .split(&format!("## {heading}\n"))
        .nth(1)
        .unwrap_or_else(|| panic!("no heading {heading}"));
    let part = part.split("\n## ").next().unwrap();
    part.lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| line.split('`').next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_registries_match_the_algorithms_page() {
    use ssh_client::{kex, keys, wire};
    let names = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        documented("Key exchange"),
        names(kex::method::ALL.iter().map(|each| each.name).collect())
    );
    assert_eq!(
        documented("Signatures"),
        names(keys::algorithm::ALL.iter().map(|each| each.name).collect())
    );
    assert_eq!(
        documented("Ciphers"),
        names(wire::cipher::ALL.iter().map(|each| each.name).collect())
    );
    assert_eq!(
        documented("MACs"),
        names(wire::mac::ALL.iter().map(|each| each.name).collect())
    );
    assert_eq!(
        documented("Compression"),
        names(wire::compression::ALL.iter().map(|each| each.name).collect())
    );
}

#[test]
fn every_quirk_has_its_test() {
    let text = read(root().join("crates/ssh-kex/src/quirks.rs"));
    for row in ssh_client::kex::quirks::TABLE {
        let begin = format!("//! | `{:?}` | `", row.quirk);
        let line = text.lines().find_map(|line| line.strip_prefix(&begin));
        let line = line.unwrap_or_else(|| panic!("{:?} has no row among the tests", row.quirk));
        let words: Vec<&str> = line.split('`').collect();
        let [file, _, test, _] = words[..] else {
            panic!("{line}: not a file and a test")
        };
        let code = read(root().join("crates").join(file));
        assert!(
            test.starts_with("quirk_") && code.contains(&format!("fn {test}()")),
            "{file} has no {test}"
        );
    }
}

#[test]
fn every_module_the_spec_page_names_exists() {
    let text = read(root().join("docs/spec.md"));
    let mut rows = 0;
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        for path in line
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|word| word.ends_with(".rs"))
        {
            assert!(
                root().join("crates").join(path).exists(),
                "docs/spec.md names crates/{path}"
            );
            rows += 1;
        }
    }
    assert!(rows > 20, "the spec page names only {rows} modules");
}

#[test]
fn every_message_number_has_a_row_on_the_spec_page() {
    let text = read(root().join("docs/spec.md"));
    for number in 1..=u8::MAX {
        let name = ssh_client::wire::number::name(number);
        if name.starts_with("SSH_MSG_") {
            assert!(
                text.contains(&format!("| {number} | `{name}` |")),
                "no row for {number} {name}"
            );
        }
    }
}

#[test]
fn every_row_of_the_gallery_names_what_exists() {
    let page = read(root().join("docs/gallery.md"));
    let tests = root().join("crates/ssh-testkit/tests/gallery");
    for number in 1..=60 {
        let beginning = format!("| E-{number:02} |");
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with(&beginning)).collect();
        assert_eq!(rows.len(), 1, "docs/gallery.md: E-{number:02}");
        let columns: Vec<&str> = rows[0].split('|').map(str::trim).collect();
        let (files, test) = (columns[3], columns[4]);
        if test.starts_with("open: waits for ") {
            assert_eq!(files, "", "{}", rows[0]);
            continue;
        }
        let files: Vec<&str> = files.split('`').skip(1).step_by(2).collect();
        assert!(!files.is_empty(), "{}", rows[0]);
        for file in files {
            assert!(root().join(file).is_file(), "docs/gallery.md names {file}");
        }
        let (module, name) = test.trim_matches('`').split_once("::").expect(rows[0]);
        let code = read(tests.join(format!("{module}.rs")));
        assert!(
            code.contains(&format!("#[test]\nfn {name}()")),
            "docs/gallery.md names {test}"
        );
    }
}

#[test]
fn every_example_is_in_the_gallery() {
    let page = read(root().join("docs/gallery.md"));
    for door in FRONT_DOORS {
        let folder = format!("crates/{door}/examples");
        for file in rust_files(&root().join(&folder)) {
            let name = file.file_name().unwrap().to_str().unwrap();
            // What examples share is a folder, and a folder without a `main.rs` is no example.
            if file.parent().unwrap().ends_with("examples") {
                let path = format!("`{folder}/{name}`");
                assert!(page.contains(&path), "docs/gallery.md does not name {path}");
            }
        }
    }
}
