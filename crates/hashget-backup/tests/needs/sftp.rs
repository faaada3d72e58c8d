//! OpenSSH's SFTP server, by itself and behind a real `sshd`.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use hashget::monitor::Silent;
use hashget_backup::store::{Address, Compared, SftpStore, Store as _, StoreError, open_store};
use hashget_testkit::programs;
use hashget_testkit::small_disk::SmallDisk;

use crate::clock::{patience, settings};
use crate::conformance::{Can, bytes, check_store, names, read, send};

const CAN: Can = Can { random: true, compared: Compared::Size };

fn server() -> String {
    programs::find("sftp-server").unwrap().display().to_string()
}

/// A store in `folder` whose server is what this shell command starts.
fn through(folder: &Path, command: &str) -> SftpStore {
    let words = ["sh", "-c", command].map(str::to_owned).to_vec();
    SftpStore::through("sftp://nas/x", folder.to_str().unwrap(), words, patience(1800))
}

fn plain(folder: &Path) -> SftpStore {
    through(folder, &server())
}

fn left_in(folder: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) fn a_server_conforms() {
    let folder = tempfile::tempdir().unwrap();
    check_store(&plain(folder.path()), CAN);
    // Sends that were interrupted leave what a later one could go on with.
    assert!(left_in(folder.path()).iter().all(|name| name.starts_with(".broken.")));
    fs_err::create_dir(folder.path().join("deeper")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
    let store = plain(folder.path());
    assert!(names(&store).is_empty());
    assert!(matches!(send(&store, "link", b"x").unwrap_err(), StoreError::Taken { .. }));
}

/// A server whose first conversations end, with all of its processes, after so many bytes to it or from it.
fn breaking(folder: &Path, cuts: &[(bool, u64)]) -> SftpStore {
    let _ = fs_err::remove_file(format!("{}.state", folder.display()));
    let (state, server) = (format!("{}.state", folder.display()), server());
    let mut cases = String::new();
    for (number, (is_input, count)) in cuts.iter().enumerate() {
        let cut = match is_input {
            true => format!("{{ stdbuf -o0 head -c {count}; kill 0; }} | {server}"),
            false => format!("{server} | {{ stdbuf -o0 head -c {count}; kill 0; }}"),
        };
        cases += &format!("{number}) {cut};; ");
    }
    let command = format!(
        "n=$(cat {state} 2>/dev/null || echo 0); echo $((n+1)) > {state}; case $n in {cases} *) exec {server};; esac"
    );
    through(folder, &command)
}

pub(crate) fn a_connection_that_breaks_anywhere_is_made_again() {
    let sent = bytes(5_000_000);
    let whole = 5_000_000 + 153 * 30;
    let inward = [
        0,
        5,
        9,
        40,
        60,
        100,
        150,
        200,
        100_000,
        2_500_000,
        whole - 200,
        whole,
        whole + 100,
        whole + 200,
    ];
    let outward = [0, 3, 20, 150, 200, 250, 300, 1000, 2000, 3000, 4000, 4200, 4300];
    let cuts =
        inward.map(|count| (true, count)).into_iter().chain(outward.map(|count| (false, count)));
    for cut in cuts {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("store");
        fs_err::create_dir(&folder).unwrap();
        let store = breaking(&folder, &[cut, cut]);
        assert_eq!(send(&store, "a", &sent).unwrap(), Compared::Size, "{cut:?}");
        assert!(fs_err::read(folder.join("a")).unwrap() == sent, "{cut:?}");
        assert_eq!(left_in(&folder), ["a"], "{cut:?}");
        let reading = breaking(&folder, &[cut, cut]);
        assert!(read(&reading, "a").unwrap() == sent, "{cut:?}");
        assert_eq!(names(&breaking(&folder, &[cut])), ["a"], "{cut:?}");
    }
}

pub(crate) fn an_earlier_send_is_continued_and_what_is_not_its_beginning_is_not() {
    let sent = bytes(9_000_000);
    let other = vec![7; 8_000_000];
    for (left, hours, is_continued) in
        [(&sent[..8_000_000], 1, true), (&other, 1, false), (&sent[..8_000_000], 0, false)]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".a.01234567.part");
        fs_err::write(&path, left).unwrap();
        let time = SystemTime::now() - Duration::from_secs(hours * 3600);
        File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        let got = folder.path().parent().unwrap().join(format!("{}.got", folder.path().display()));
        let store = through(folder.path(), &format!("tee {} | {}", got.display(), server()));
        send(&store, "a", &sent).unwrap();
        assert!(fs_err::read(folder.path().join("a")).unwrap() == sent);
        let is_short = fs_err::metadata(&got).unwrap().len() < 6_000_000;
        fs_err::remove_file(got).unwrap();
        assert_eq!(is_short, is_continued);
        // One that was written to just now may be somebody else's.
        assert_eq!(left_in(folder.path()).len(), if hours == 0 { 2 } else { 1 });
    }
}

pub(crate) fn what_is_missing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = plain(&folder.path().join("none"));
    for error in [
        store.list(&Silent).unwrap_err(),
        send(&store, "a", b"x").unwrap_err(),
        read(&store, "a").unwrap_err(),
        store.remove("a", &Silent).unwrap_err(),
        store.clean(&Silent).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    }
    let words = vec!["/does/not/exist".to_owned()];
    let store = SftpStore::through("sftp://nas/x", "/", words, patience(10));
    let error = store.list(&Silent).unwrap_err().to_string();
    assert!(error.contains("/does/not/exist cannot be started"), "{error}");
    let denied =
        through(folder.path(), "echo 'u@nas: Permission denied (publickey).' >&2; exit 255");
    let error = send(&denied, "a", b"x").unwrap_err();
    assert!(
        matches!(&error, StoreError::Refused { problem, .. } if problem.contains("publickey")),
        "{error}"
    );
    let down = through(
        folder.path(),
        "echo 'ssh: connect to host nas port 22: Connection refused' >&2; exit 255",
    );
    let error = send(&down, "a", b"x").unwrap_err();
    assert!(
        matches!(&error, StoreError::Unreachable { problem, .. } if problem.contains("Connection refused")),
        "{error}"
    );
}

pub(crate) fn a_server_that_prints_something_else_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["Welcome to this machine! ", "\\0\\0\\0\\5\\2\\0\\0\\0\\2"] {
        let store = through(folder.path(), &format!("printf '{text}'; exec {}", server()));
        let error = send(&store, "a", b"x").unwrap_err().to_string();
        assert!(error.contains("login shell") || error.contains("version 2"), "{error}");
    }
    assert!(left_in(folder.path()).is_empty());
}

pub(crate) fn old_temporary_files_are_cleaned() {
    let folder = tempfile::tempdir().unwrap();
    for (name, days) in
        [(".a.01234567.part", 2), (".b.01234567.part", 0), (".c.part", 2), ("d.01234567.part", 2)]
    {
        let file = File::create(folder.path().join(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400)).unwrap();
    }
    assert_eq!(plain(folder.path()).clean(&Silent).unwrap(), [".a.01234567.part"]);
    assert_eq!(left_in(folder.path()).len(), 3);
    // What has come by another send needs no day.
    File::create(folder.path().join("b")).unwrap();
    assert_eq!(plain(folder.path()).clean(&Silent).unwrap(), [".b.01234567.part"]);
}

pub(crate) fn a_full_disk_is_told_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let _disk = SmallDisk::mount(folder.path(), 1 << 20).unwrap();
    let error = send(&plain(folder.path()), "a", &bytes(3_000_000)).unwrap_err().to_string();
    assert!(error.contains("disk full"), "{error}");
    assert!(left_in(folder.path()).is_empty());
    send(&plain(folder.path()), "b", &bytes(300_000)).unwrap();
}

/// An `sshd` of our own on loopback, with a key that may log in.
struct Sshd {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Sshd {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(path(key))
                .status();
            assert!(made.unwrap().success());
        }
        fs_err::copy(path("user.pub"), path("authorized")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let shown = folder.path().display().to_string();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/authorized\n\
             PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nSubsystem sftp {}\n",
            server()
        );
        fs_err::write(path("sshd_config"), config).unwrap();
        let client = format!(
            "IdentityFile {shown}/user\nIdentitiesOnly yes\nStrictHostKeyChecking no\nUserKnownHostsFile {shown}/known\nLogLevel ERROR\n"
        );
        fs_err::write(path("ssh_config"), client).unwrap();
        // Root's needs it; nobody else may make it.
        let _ = fs_err::create_dir_all("/run/sshd");
        let child = Command::new(programs::find("sshd").unwrap())
            .args(["-D", "-e", "-f"])
            .arg(path("sshd_config"))
            .stderr(Stdio::from(File::create(path("log")).unwrap()))
            .spawn()
            .unwrap();
        Self { child, folder, port }
    }

    fn ssh(&self) -> Vec<String> {
        let config: PathBuf = self.folder.path().join("ssh_config");
        vec!["ssh".to_owned(), "-F".to_owned(), config.display().to_string()]
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn a_machine_behind_ssh_conforms() {
    let sshd = Sshd::start();
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(sshd.ssh());
    let address = format!("sftp://127.0.0.1:{}{}", sshd.port, folder.path().display());
    let store = open_store(&Address::parse(&address).unwrap(), &settings).unwrap();
    // Until it listens, it is tried again.
    assert!(names(&*store).is_empty());
    check_store(&*store, CAN);
    // From the home folder on.
    let address = format!("sftp://127.0.0.1:{}/~/no-such-folder-of-hashget", sshd.port);
    let store = open_store(&Address::parse(&address).unwrap(), &settings).unwrap();
    assert!(matches!(store.list(&Silent).unwrap_err(), StoreError::Missing { .. }));
}
