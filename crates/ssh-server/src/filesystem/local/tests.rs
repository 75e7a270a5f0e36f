//! The file system of this machine, operation by operation.

use std::fs as std_fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;
use crate::filesystem::status;
use crate::sftp::StatusCode;

struct Fixture {
    directory: tempfile::TempDir,
    files: Local,
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let files = Local::new(directory.path());
    Fixture { directory, files }
}

impl Fixture {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        std_fs::write(self.path(name), content).unwrap();
    }

    fn content(&self, name: &str) -> Vec<u8> {
        std_fs::read(self.path(name)).unwrap()
    }

    fn open(&self, name: &str, flags: OpenFlags) -> io::Result<Arc<dyn File>> {
        self.files.open(name.as_bytes(), flags, &Attributes::default())
    }

    fn mode(&self, name: &str) -> u32 {
        std_fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }
}

fn code<T>(result: io::Result<T>) -> StatusCode {
    result
        .map(|_| StatusCode::OK)
        .unwrap_or_else(|error| status(&error).code)
}

fn read(file: &dyn File, offset: u64, length: usize) -> Vec<u8> {
    let mut into = Vec::new();
    let count = file.read_at(offset, length, &mut into).unwrap();
    assert_eq!(count, into.len());
    into
}

const WRITE_NEW: OpenFlags = OpenFlags(OpenFlags::WRITE.0 | OpenFlags::CREATE.0);

#[test]
fn reads_give_what_is_there_and_no_more() {
    let fixture = fixture();
    fixture.write("a", b"0123456789");
    let file = fixture.open("a", OpenFlags::READ).unwrap();
    assert_eq!(read(&*file, 0, 4), b"0123");
    assert_eq!(read(&*file, 8, 100), b"89");
    assert_eq!(read(&*file, 10, 1), b"");
    assert_eq!(read(&*file, u64::from(u32::MAX) * 4, 1), b"");
    assert_eq!(read(&*file, 0, 0), b"");
    let mut into = b"before".to_vec();
    into.reserve(1000);
    assert_eq!(file.read_at(0, 3, &mut into).unwrap(), 3);
    assert_eq!(into, b"before012");
}

#[test]
fn writes_go_to_their_offset() {
    let fixture = fixture();
    let file = fixture.open("a", WRITE_NEW).unwrap();
    file.write_at(4, b"world").unwrap();
    file.write_at(0, b"he").unwrap();
    assert_eq!(fixture.content("a"), b"he\0\0world");
    assert_eq!(code(file.read_at(0, 1, &mut Vec::new())), StatusCode::FAILURE);
    let appending = fixture.open("a", OpenFlags::WRITE | OpenFlags::APPEND).unwrap();
    appending.write_at(0, b"!").unwrap();
    assert_eq!(fixture.content("a"), b"he\0\0world!");
}

#[test]
fn open_flags_mean_what_they_mean_to_the_system() {
    let fixture = fixture();
    assert_eq!(code(fixture.open("a", OpenFlags::READ)), StatusCode::NO_SUCH_FILE);
    assert_eq!(
        code(fixture.open("a", OpenFlags::WRITE)),
        StatusCode::NO_SUCH_FILE
    );
    fixture
        .open("a", WRITE_NEW)
        .unwrap()
        .write_at(0, b"content")
        .unwrap();
    assert_eq!(
        code(fixture.open("a", WRITE_NEW | OpenFlags::EXCLUSIVE)),
        StatusCode::FAILURE
    );
    fixture.open("a", WRITE_NEW).unwrap();
    assert_eq!(fixture.content("a"), b"content");
    fixture.open("a", WRITE_NEW | OpenFlags::TRUNCATE).unwrap();
    assert_eq!(fixture.content("a"), b"");
    assert_eq!(code(fixture.open(".", OpenFlags::READ)), StatusCode::FAILURE);
    assert_eq!(
        code(fixture.open("a/b", OpenFlags::READ)),
        StatusCode::NO_SUCH_FILE
    );
}

#[test]
fn new_files_and_directories_get_their_mode_from_the_first_moment() {
    let fixture = fixture();
    let private = Attributes::with_permissions(0o100_600);
    fixture.files.open(b"a", WRITE_NEW, &private).unwrap();
    assert_eq!(fixture.mode("a"), 0o600);
    fixture
        .files
        .make_directory(b"d", &Attributes::with_permissions(0o700))
        .unwrap();
    assert_eq!(fixture.mode("d"), 0o700);
}

#[test]
fn nothing_that_waits_for_somebody_holds_an_open() {
    let fixture = fixture();
    fs::mkfifoat(fs::CWD, fixture.path("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
    let file = fixture.open("fifo", OpenFlags::READ).unwrap();
    assert!(file.read_at(0, 1, &mut Vec::new()).is_err());
    assert!(fixture.open("fifo", OpenFlags::WRITE).is_ok() || cfg!(not(target_os = "linux")));
    drop(file);
    assert!(fixture.open("fifo", OpenFlags::WRITE).is_err());
    assert!(
        fixture
            .files
            .set_stat(b"fifo", &Attributes::with_size(0))
            .is_err()
    );
    let zero = fixture.open("/dev/zero", OpenFlags::READ).unwrap();
    assert_eq!(read(&*zero, 0, 3), [0; 3]);
}

#[test]
fn attributes_are_those_of_the_file_or_of_the_link() {
    let fixture = fixture();
    fixture.write("a", b"12345");
    fixture.files.symlink(b"a", b"link").unwrap();
    let (file, link) = (
        fixture.files.stat(b"link").unwrap(),
        fixture.files.lstat(b"link").unwrap(),
    );
    assert_eq!(file.size, Some(5));
    assert_eq!(file.permissions.unwrap() & 0o170_000, 0o100_000);
    assert_eq!(link.permissions.unwrap() & 0o170_000, 0o120_000);
    assert_eq!(file, fixture.open("a", OpenFlags::READ).unwrap().stat().unwrap());
    assert_eq!(
        file.uid_gid,
        Some((
            rustix::process::getuid().as_raw(),
            rustix::process::getgid().as_raw()
        ))
    );
    assert_eq!(fixture.files.read_link(b"link").unwrap(), b"a");
    assert_eq!(code(fixture.files.stat(b"missing")), StatusCode::NO_SUCH_FILE);
}

#[test]
fn setting_attributes_never_touches_the_content() {
    let fixture = fixture();
    fixture.write("a", b"0123456789");
    let attributes = Attributes {
        permissions: Some(0o640),
        atime_mtime: Some((1_000, 2_000)),
        ..Attributes::default()
    };
    fixture.files.set_stat(b"a", &attributes).unwrap();
    assert_eq!(
        (fixture.content("a"), fixture.mode("a")),
        (b"0123456789".to_vec(), 0o640)
    );
    assert_eq!(fixture.files.stat(b"a").unwrap().atime_mtime.unwrap().1, 2_000);
    fixture.files.set_stat(b"a", &Attributes::with_size(4)).unwrap();
    assert_eq!(fixture.content("a"), b"0123");
    fixture.files.set_stat(b"a", &Attributes::with_size(6)).unwrap();
    assert_eq!(fixture.content("a"), b"0123\0\0");
    let file = fixture.open("a", OpenFlags::READ | OpenFlags::WRITE).unwrap();
    let last = Attributes {
        atime_mtime: Some((u32::MAX, u32::MAX)),
        ..Attributes::with_size(3)
    };
    file.set_stat(&last).unwrap();
    assert_eq!(fixture.content("a"), b"012");
    assert_eq!(file.stat().unwrap().atime_mtime.unwrap().1, u32::MAX);
}

#[test]
fn one_attribute_that_fails_does_not_take_the_others_along() {
    let fixture = fixture();
    fixture.write("a", b"x");
    let file = fixture.open("a", OpenFlags::READ).unwrap();
    let attributes = Attributes {
        permissions: Some(0o604),
        ..Attributes::with_size(0)
    };
    assert_eq!(
        code(file.set_stat(&attributes)),
        StatusCode::FAILURE,
        "not open for writing"
    );
    assert_eq!((fixture.mode("a"), fixture.content("a")), (0o604, b"x".to_vec()));
}

#[test]
fn times_of_a_link_are_its_own() {
    let fixture = fixture();
    fixture.write("a", b"");
    fixture.files.symlink(b"a", b"link").unwrap();
    let before = fixture.files.stat(b"a").unwrap();
    let times = Attributes {
        atime_mtime: Some((5, 6)),
        ..Attributes::default()
    };
    fixture.files.set_link_stat(b"link", &times).unwrap();
    assert_eq!(fixture.files.lstat(b"link").unwrap().atime_mtime, Some((5, 6)));
    assert_eq!(fixture.files.stat(b"a").unwrap(), before);
}

#[test]
fn the_mode_of_a_link_is_not_that_of_its_target() {
    let fixture = fixture();
    fixture.write("a", b"");
    fixture.files.symlink(b"a", b"link").unwrap();
    let before = fixture.mode("a");
    let mode = Attributes::with_permissions(0o600);
    assert_eq!(
        code(fixture.files.set_link_stat(b"link", &mode)),
        StatusCode::OP_UNSUPPORTED
    );
    assert_eq!(fixture.mode("a"), before);
    fixture.files.set_link_stat(b"a", &mode).unwrap();
    assert_eq!(fixture.mode("a"), 0o600);
}

#[test]
fn rename_of_version_3_never_replaces_and_posix_rename_does() {
    let fixture = fixture();
    fixture.write("a", b"a");
    fixture.write("b", b"b");
    assert_eq!(code(fixture.files.rename(b"a", b"b")), StatusCode::FAILURE);
    assert_eq!(fixture.content("b"), b"b");
    fixture.files.symlink(b"nowhere", b"dangling").unwrap();
    assert_eq!(code(fixture.files.rename(b"a", b"dangling")), StatusCode::FAILURE);
    fixture.files.rename(b"a", b"c").unwrap();
    fixture.files.posix_rename(b"c", b"b").unwrap();
    assert_eq!(fixture.content("b"), b"a");
    assert_eq!(code(fixture.files.rename(b"a", b"d")), StatusCode::NO_SUCH_FILE);
    fixture
        .files
        .make_directory(b"dir", &Attributes::default())
        .unwrap();
    fixture.files.rename(b"dir", b"dir2").unwrap();
    fixture.files.hard_link(b"b", b"e").unwrap();
    assert_eq!(fixture.content("e"), b"a");
    assert_eq!(code(fixture.files.hard_link(b"b", b"e")), StatusCode::FAILURE);
}

#[test]
fn files_and_directories_are_removed_each_in_its_own_way() {
    let fixture = fixture();
    fixture
        .files
        .make_directory(b"d", &Attributes::default())
        .unwrap();
    fixture.write("d/a", b"");
    assert_ne!(code(fixture.files.remove(b"d")), StatusCode::OK);
    assert_ne!(code(fixture.files.remove_directory(b"d/a")), StatusCode::OK);
    assert_eq!(code(fixture.files.remove_directory(b"d")), StatusCode::FAILURE);
    fixture.files.remove(b"d/a").unwrap();
    fixture.files.remove_directory(b"d").unwrap();
    assert_eq!(
        code(fixture.files.make_directory(b".", &Attributes::default())),
        StatusCode::FAILURE
    );
}

#[test]
fn real_paths_are_absolute_and_need_not_exist_at_their_end() {
    let fixture = fixture();
    let root = fixture
        .directory
        .path()
        .canonicalize()
        .unwrap()
        .into_os_string()
        .into_vec();
    let check = |path: &[u8], expected: Option<&[u8]>| {
        let expected = expected.map(|end| [&root, end].concat());
        assert_eq!(
            fixture.files.real_path(path).ok(),
            expected,
            "{}",
            path.escape_ascii()
        );
    };
    fixture
        .files
        .make_directory(b"d", &Attributes::default())
        .unwrap();
    fixture.files.symlink(b"d", b"link").unwrap();
    check(b"", Some(b""));
    check(b".", Some(b""));
    check(b"d/..", Some(b""));
    check(b"link/new", Some(b"/d/new"));
    check(b"./d/../new", Some(b"/new"));
    check(b"missing/new", None);
    check(b"a\0b", None);
    assert_eq!(fixture.files.real_path(b"/").unwrap(), b"/");
    assert_eq!(fixture.files.real_path(b"/..").unwrap(), b"/");
}

#[test]
fn directories_are_listed_with_every_kind_of_name() {
    let fixture = fixture();
    let names: [&[u8]; 5] = [b"plain", b"with space", b"\xff\xfe", b"line\nbreak", b"-dash"];
    for name in names {
        fixture
            .files
            .open(name, WRITE_NEW, &Attributes::default())
            .unwrap();
    }
    fixture.files.symlink(b"nowhere", b"dangling").unwrap();
    let mut directory = fixture.files.open_directory(b".").unwrap();
    let mut found = Vec::new();
    while let Some(name) = directory.next().unwrap() {
        assert!(name.longname.ends_with(&name.filename));
        assert!(name.attributes.permissions.is_some());
        found.push(name.filename);
    }
    found.sort();
    let mut expected: Vec<Vec<u8>> = names.iter().map(|name| name.to_vec()).collect();
    expected.extend([b".".to_vec(), b"..".to_vec(), b"dangling".to_vec()]);
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(
        code(fixture.files.open_directory(b"plain")),
        StatusCode::NO_SUCH_FILE
    );
    assert_eq!(code(fixture.files.open_directory(b"")), StatusCode::NO_SUCH_FILE);
}

#[test]
fn a_volume_has_figures() {
    let fixture = fixture();
    fixture.write("a", b"");
    let volume = fixture.files.volume(b".").unwrap();
    assert!(volume.block_bytes > 0 && volume.max_name_bytes > 0);
    let by_file = fixture.open("a", OpenFlags::READ).unwrap().volume().unwrap();
    assert_eq!(by_file.fragment_bytes, volume.fragment_bytes);
}

#[test]
fn a_full_disk_says_so() {
    let fixture = fixture();
    let full = fixture.open("/dev/full", OpenFlags::WRITE).unwrap();
    let error = full.write_at(0, b"x").unwrap_err();
    assert_eq!(status(&error).message, "No space left on device");
}

#[test]
fn synced_files_are_synced() {
    let fixture = fixture();
    let file = fixture.open("a", WRITE_NEW).unwrap();
    file.write_at(0, b"x").unwrap();
    file.sync().unwrap();
}

#[test]
fn old_and_future_times_are_the_nearest_there_are() {
    assert_eq!(seconds(-1), 0);
    assert_eq!(seconds(i64::MAX), u32::MAX);
    assert_eq!(
        seconds(i64::try_from(Duration::from_secs(7).as_secs()).unwrap()),
        7
    );
}
