//! The list of rows against the tests: each has one, named by it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Rows shown elsewhere: those of a library alone, where what they are about is private, and those for which every
/// allocation is counted.
const ELSEWHERE: [(&str, &str); 3] = [
    ("b16", "../ssh-keys/src/algorithm/rsa/private.rs"),
    ("c03", "tests/hostile_memory.rs"),
    ("c04", "tests/hostile_memory.rs"),
];

/// The rows shown here: A2, A3, all of the transport's but those that come with keys, and all of the connection
/// protocol's but C13, which comes with agents.
const ROWS: [&str; 31] = [
    "a02", "a03", "b01", "b02", "b03", "b04", "b05", "b06", "b07", "b08", "b09", "b10", "b11", "b12", "b15",
    "b18", "b19", "b20", "b21", "c01", "c02", "c04", "c05", "c06", "c07", "c08", "c09", "c10", "c11", "c12",
    "c14",
];

/// The names of all tests beside this file.
fn tests() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    fs::read_dir(folder)
        .unwrap()
        .flat_map(|entry| tests_in(&entry.unwrap().path()))
        .collect()
}

fn tests_in(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in fs::read_to_string(path).unwrap().lines().map(str::trim_start) {
        if let Some(name) = line.strip_prefix("fn ").filter(|_| is_test) {
            found.push(name.split('(').next().unwrap().to_owned());
        }
        is_test = line.starts_with("#[test]") || is_test && line.starts_with("#[");
    }
    found
}

#[test]
fn every_row_has_its_test() {
    let tests = tests();
    let has = |row: &str, name: &String| name.starts_with(&format!("{row}_"));
    for row in ROWS {
        assert!(
            tests.iter().any(|name| has(row, name)),
            "no test is named {row}_…"
        );
    }
    for (row, file) in ELSEWHERE {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let found = tests_in(&path).iter().any(|name| has(row, name));
        assert!(found, "no test of {file} is named {row}_…");
    }
}
