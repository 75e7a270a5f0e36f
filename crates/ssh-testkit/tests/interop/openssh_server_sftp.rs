//! Our client library into OpenSSH's `sshd`: files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use ssh_client::sftp::{SftpError, SftpFault};
use ssh_client::sftp_protocol::{Attributes, FileType, OpenFlags, StatusCode};
use ssh_client::{Client, Config, Error, Sftp};
use ssh_testkit::openssh::Server;
use ssh_testkit::running::run;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::openssh_server::{connect, server};

/// A session, and the folder it works in. The client ends the connection when it goes.
struct Files {
    sftp: Sftp,
    server: Server,
    _client: Client,
}

impl Files {
    async fn open(more: &str, config: &Config) -> Option<Self> {
        let server = server(more)?;
        let client = connect(&server, config).await.unwrap();
        Some(Self {
            sftp: client.sftp().await.unwrap(),
            server,
            _client: client,
        })
    }

    /// A file in the folder.
    fn at(&self, name: &str) -> PathBuf {
        self.server.keys.path(name)
    }

    /// The same as the server's path.
    fn remote(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }
}

async fn files() -> Option<Files> {
    Files::open("", &Config::default()).await
}

/// What the server answered.
fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> StatusCode {
    match result {
        Err(Error::Sftp(SftpError {
            source: SftpFault::Refused(status),
            ..
        })) => status.code,
        other => panic!("not refused: {other:?}"),
    }
}

async fn there_and_back(files: &Files, sizes: &[u64]) {
    for bytes in sizes {
        let mut source = std::process::Command::new("sh");
        let made = run(source.arg("-c").arg(format!("seq 40000000 | head -c {bytes}")))
            .with_code(0)
            .stdout;
        fs::write(files.at("local"), &made).unwrap();
        assert_eq!(
            files
                .sftp
                .put(files.at("local"), files.remote("remote"))
                .await
                .unwrap(),
            *bytes
        );
        assert!(
            fs::read(files.at("remote")).unwrap() == made,
            "{bytes} bytes were put"
        );
        let mut last = 0;
        let got = files
            .sftp
            .get_with(files.remote("remote"), files.at("back"), |progress| {
                assert!(progress.done >= last && progress.total == Some(*bytes));
                last = progress.done;
            });
        assert_eq!(got.await.unwrap(), *bytes);
        assert_eq!(last, *bytes);
        assert!(
            fs::read(files.at("back")).unwrap() == made,
            "{bytes} bytes were got"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_put_and_got() {
    let Some(files) = files().await else { return };
    there_and_back(&files, &[0, 1, 5_000_001, 64 << 20]).await;
    // A shorter file replaces a longer one.
    there_and_back(&files, &[10]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_survive_new_keys_every_mib() {
    let mut config = Config::default();
    config.transport.rekey.bytes = 1 << 20;
    for (more, config) in [("", &config), ("RekeyLimit 1M", &Config::default())] {
        let Some(files) = Files::open(more, config).await else {
            return;
        };
        there_and_back(&files, &[20_000_000]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_names_are_listed() {
    let Some(files) = files().await else { return };
    fs::create_dir(files.at("many")).unwrap();
    let names: Vec<String> = (0..1000)
        .map(|number| format!("a rather long name, number {number:04}"))
        .collect();
    for name in &names {
        fs::write(files.at("many").join(name), "five!").unwrap();
    }
    let mut listed = files.sftp.read_dir(files.remote("many")).await.unwrap();
    listed.sort_by(|one, other| one.filename.cmp(&other.filename));
    assert_eq!(listed.len(), 1000);
    for (name, found) in names.iter().zip(&listed) {
        assert_eq!(
            (found.filename.as_slice(), found.attributes.size),
            (name.as_bytes(), Some(5))
        );
        assert!(found.longname.ends_with(name.as_bytes()));
    }
    assert!(
        files
            .sftp
            .read_dir(files.remote("authorized_keys"))
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_are_read_and_set() {
    let Some(files) = files().await else { return };
    let (sftp, path) = (&files.sftp, files.remote("file"));
    fs::write(files.at("file"), "content").unwrap();
    sftp.symlink("file", files.remote("link")).await.unwrap();
    for path in [&path, &files.remote("link")] {
        let found = sftp.stat(path).await.unwrap();
        assert_eq!(
            (found.size, found.file_type()),
            (Some(7), Some(FileType::Regular))
        );
    }
    assert_eq!(
        sftp.lstat(files.remote("link")).await.unwrap().file_type(),
        Some(FileType::Symlink)
    );
    assert!(sftp.stat(files.remote("")).await.unwrap().is_directory());

    sftp.set_stat(&path, Attributes::with_permissions(0o640))
        .await
        .unwrap();
    let times = Attributes {
        atime_mtime: Some((1_000_000_000, 1_111_111_111)),
        ..Attributes::default()
    };
    sftp.set_stat(&path, times).await.unwrap();
    sftp.set_stat(&path, Attributes::with_size(3)).await.unwrap();
    sftp.set_stat(
        &path,
        Attributes {
            uid_gid: Some(own_ids()),
            ..Attributes::default()
        },
    )
    .await
    .unwrap();
    let found = fs::metadata(files.at("file")).unwrap();
    assert_eq!((found.permissions().mode() & 0o777, found.len()), (0o640, 3));

    let file = sftp
        .open_with(&path, OpenFlags::READ | OpenFlags::WRITE, Attributes::default())
        .await
        .unwrap();
    let times = Attributes {
        atime_mtime: Some((1_222_222_222, 1_333_333_333)),
        ..Attributes::default()
    };
    file.set_stat(times).await.unwrap();
    assert_eq!(fs::metadata(files.at("file")).unwrap().mtime(), 1_333_333_333);
    file.set_stat(Attributes::with_permissions(0o600)).await.unwrap();
    let found = file.stat().await.unwrap();
    assert_eq!((found.size, found.plain_permissions()), (Some(3), Some(0o600)));
    assert_eq!(found.atime_mtime, Some((1_222_222_222, 1_333_333_333)));
    file.set_len(1).await.unwrap();
    assert_eq!(fs::read(files.at("file")).unwrap(), b"c");
    file.close().await.unwrap();
}

fn own_ids() -> (u32, u32) {
    let own = fs::metadata("/proc/self").unwrap();
    (own.uid(), own.gid())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_file_is_read_and_written_anywhere() {
    let Some(files) = files().await else { return };
    let (sftp, path) = (&files.sftp, files.remote("file"));
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
    let file = sftp
        .open_with(&path, flags, Attributes::with_permissions(0o600))
        .await
        .unwrap();
    assert_eq!(
        fs::metadata(files.at("file")).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let data: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
    file.write_at(100, data.clone()).await.unwrap();
    file.write_at(0, &[b'#'; 100][..]).await.unwrap();
    file.sync().await.unwrap();
    assert_eq!(file.read_at(98, 4).await.unwrap(), &[b'#', b'#', 0, 1][..]);
    assert!(
        file.read_at(1_000_100, 10).await.unwrap().is_empty(),
        "the end of the file"
    );
    file.close().await.unwrap();
    assert!(fs::read(files.at("file")).unwrap()[100..] == data);
    assert_eq!(
        refusal(sftp.open_with(&path, flags, Attributes::default()).await),
        StatusCode::FAILURE
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_file_is_a_stream() {
    let Some(files) = files().await else { return };
    let data: Vec<u8> = (0..2_000_000_u32).map(|number| (number % 241) as u8).collect();
    let mut file = files.sftp.create(files.remote("file")).await.unwrap();
    file.write_all(&data).await.unwrap();
    file.shutdown().await.unwrap();
    assert!(fs::read(files.at("file")).unwrap() == data);
    let mut file = files.sftp.open(files.remote("file")).await.unwrap();
    let mut back = Vec::new();
    file.read_to_end(&mut back).await.unwrap();
    assert!(back == data);
    file.set_position(1_999_999);
    assert_eq!(file.read_u8().await.unwrap(), data[1_999_999]);
    file.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_names_and_links_are_made_and_removed() {
    let Some(files) = files().await else { return };
    let sftp = &files.sftp;
    sftp.mkdir(files.remote("folder")).await.unwrap();
    sftp.create(files.remote("folder/one"))
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    fs::write(files.at("folder/two"), "two").unwrap();
    // What has the name already is replaced.
    sftp.rename(files.remote("folder/two"), files.remote("folder/one"))
        .await
        .unwrap();
    assert_eq!(fs::read(files.at("folder/one")).unwrap(), b"two");
    sftp.symlink("one", files.remote("folder/link")).await.unwrap();
    assert_eq!(sftp.read_link(files.remote("folder/link")).await.unwrap(), b"one");
    let real = sftp
        .real_path(files.remote("folder/../folder/link"))
        .await
        .unwrap();
    assert_eq!(
        real,
        files
            .at("folder/one")
            .canonicalize()
            .unwrap()
            .display()
            .to_string()
            .into_bytes()
    );
    assert!(sftp.real_path(".").await.unwrap().starts_with(b"/"));
    assert_eq!(
        refusal(sftp.rmdir(files.remote("folder")).await),
        StatusCode::FAILURE
    );
    for name in ["folder/one", "folder/link"] {
        sftp.remove(files.remote(name)).await.unwrap();
    }
    sftp.rmdir(files.remote("folder")).await.unwrap();
    assert!(!sftp.exists(files.remote("folder")).await.unwrap() && !files.at("folder").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_bytes() {
    let Some(files) = files().await else { return };
    let name = [files.remote("").into_bytes(), b"not \xff UTF-8 \n \x1b".to_vec()].concat();
    files.sftp.create(&name).await.unwrap().close().await.unwrap();
    let listed = files.sftp.read_dir(files.remote("")).await.unwrap();
    assert!(
        listed
            .iter()
            .any(|found| found.filename == b"not \xff UTF-8 \n \x1b")
    );
    let error = files.sftp.mkdir(&name).await.unwrap_err().to_string();
    assert!(!error.contains(char::is_control), "{error:?}");
    files.sftp.remove(&name).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_name_the_call_and_the_path() {
    let Some(files) = files().await else { return };
    let (sftp, missing) = (&files.sftp, files.remote("missing"));
    assert_eq!(refusal(sftp.stat(&missing).await), StatusCode::NO_SUCH_FILE);
    assert_eq!(refusal(sftp.remove(&missing).await), StatusCode::NO_SUCH_FILE);
    assert_eq!(refusal(sftp.read_link(&missing).await), StatusCode::NO_SUCH_FILE);
    assert_eq!(
        refusal(sftp.rename(&missing, files.remote("x")).await),
        StatusCode::NO_SUCH_FILE
    );
    let error = sftp
        .get(&missing, files.at("back"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&missing) && error.contains("back"), "{error}");
    let error = sftp
        .put(files.at("nothing here"), &missing)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&missing) && error.contains("nothing here"),
        "{error}"
    );
    let error = sftp.get(files.remote(""), files.at("back")).await.unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Sftp(SftpError {
                source: SftpFault::NotAFile,
                ..
            })
        ),
        "{error}"
    );
    assert!(!files.at("back").exists(), "a failed get left a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_are_under_way_at_once() {
    let Some(files) = files().await else { return };
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let (sftp, path) = (files.sftp.clone(), files.remote(&format!("file {number}")));
            tokio::spawn(async move {
                let file = sftp.create(&path).await?;
                file.write_at(0, vec![b'x'; number]).await?;
                file.close().await?;
                sftp.stat(&path).await
            })
        })
        .collect();
    for (number, task) in (0..).zip(tasks) {
        assert_eq!(task.await.unwrap().unwrap().size, Some(number));
    }
}
