//! The list of rows against the tests: each has one, named by it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The rows shown here: A2, A3 and all of the transport's but those that come with keys.
const ROWS: [&str; 19] = [
    "a02", "a03", "b01", "b02", "b03", "b04", "b05", "b06", "b07", "b08", "b09", "b10", "b11", "b12", "b15",
    "b18", "b19", "b20", "b21",
];

/// The names of all tests beside this file.
fn tests() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let mut is_test = false;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("fn ").filter(|_| is_test) {
                let name = name.split('(').next().unwrap();
                found.insert(name.to_owned(), path.display().to_string());
            }
            is_test = line.starts_with("#[test]") || is_test && line.starts_with("#[");
        }
    }
    found
}

#[test]
fn every_row_has_its_test() {
    let tests = tests();
    for row in ROWS {
        let prefix = format!("{row}_");
        assert!(
            tests.keys().any(|name| name.starts_with(&prefix)),
            "no test is named {prefix}…"
        );
    }
}
