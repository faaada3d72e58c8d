//! Files that programs of packages make: confined, proven, and never without being asked for.
//!
//! Invariant: the program is real: it is compiled here, and tries what it must not do. That all of it was refused is in what it makes,
//! so that the digest says so.

use std::os::unix::process::CommandExt as _;

use hashget::model::Digest;
use hashget_testkit::packages::{TarBuilder, TarEntry, deb};
use hashget_testkit::trees;
use serde_json::json;

use crate::support::{Ended, Machine};

const ARCHIVE: &str = "https://archive.example/packages/";
const INDEX: &str = INDEXES.made;
const RECIPE: &str = "1 by module-index";

/// A user who is not root.
const USER: &str = "65533";

/// A recipe, and what a program of these tests is for it.
struct Recipe {
    package: &'static str,
    program: &'static str,
    /// How its first word ends, and how many words there are.
    called: &'static str,
    words: usize,
    /// The file of the tree that it reads, as it opens it, and the one that it makes.
    source: &'static str,
    opens: &'static str,
    made: &'static str,
}

const INDEXES: Recipe = Recipe {
    package: "kmod",
    program: "bin/kmod",
    called: "depmod",
    words: 6,
    source: "usr/lib/modules/1/kernel/a.ko",
    opens: "lib/modules/1/kernel/a.ko",
    made: "usr/lib/modules/1/modules.dep",
};
/// One whose program sees its folder as its root.
const HARDWARE: Recipe = Recipe {
    package: "udev",
    program: "bin/systemd-hwdb",
    called: "/.hashget-program/bin/systemd-hwdb",
    words: 3,
    source: "usr/lib/udev/hwdb.d/a.hwdb",
    opens: "/lib/udev/hwdb.d/a.hwdb",
    made: "usr/lib/udev/hwdb.bin",
};

/// What every program of these tests begins and ends with.
const BEGIN: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static FILE *made;
static void say(const char *what, int is_refused) { fprintf(made, "%s %s\n", what, is_refused ? "refused" : "ALLOWED"); }
static int has_more_open(void) {
    for (int number = 6; number < 200; number++) if (fcntl(number, F_GETFD) >= 0) return 1;
    return 0;
}
int main(int count, char **words) {
    if (strcmp(words[0], CALLED) || count != WORDS) return 3;
    made = fopen(MADE, "w");
    if (!made) return 4;
    char line[80] = "";
    FILE *module = fopen(OPENS, "r");
    if (!module || !fgets(line, sizeof line, module)) return 5;
    fprintf(made, "%s", line);
"#;
const END: &str = r##"
    for (int number = 0; number < 200; number++) fprintf(made, "# %d\n", number);
    return fclose(made) ? 6 : 0;
}
"##;

/// A program that tries what it must not do.
const TRIES: &str = r#"
    say("reads a file of the system", open("/etc/passwd", O_RDONLY) < 0);
    say("lists the top folder", open("/", O_RDONLY | O_DIRECTORY) < 0);
    say("makes a file elsewhere", open("/tmp/hashget-test-program", O_CREAT | O_WRONLY, 0600) < 0);
    say("changes itself", open((char *)getauxval(AT_EXECFN), O_WRONLY) < 0);
    say("makes a socket", socket(AF_INET, SOCK_STREAM, 0) < 0);
    say("makes a pair of sockets", socketpair(AF_UNIX, SOCK_STREAM, 0, (int[2]){0, 0}) < 0);
    say("makes a process", fork() < 0);
    say("sends a signal", kill(getppid(), 0) < 0);
    say("sends a signal to a thread", syscall(SYS_tgkill, getppid(), getppid(), 0) < 0);
    say("limits another process", prlimit(getppid(), RLIMIT_CPU, NULL, &(struct rlimit){1, 1}) < 0);
    say("sets priorities", setpriority(PRIO_PROCESS, 0, 19) < 0);
    say("shares memory", shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600) < 0);
    say("changes modes", chmod("usr", 0700) < 0 && fchmodat(AT_FDCWD, "usr", 0700, 0) < 0);
    say("changes times", utimensat(AT_FDCWD, "usr", NULL, 0) < 0);
    say("cuts a file off", truncate(SOURCE, 0) < 0);
    say("traces", ptrace(PTRACE_TRACEME, 0, 0, 0) < 0);
    say("starts another program", execl("/bin/sh", "sh", "-c", "true", (char *)0) < 0);
    say("takes ten gigabytes", malloc(10UL << 30) == NULL);
    say("makes a program that others run as this user", open("usr/lib/p", O_CREAT | O_WRONLY, 04755) < 0);
    say("turns a file into one", fchmod(fileno(made), 04755) < 0 && fchmod(fileno(made), 02755) < 0);
    say("has something open that it has not opened", !has_more_open());
    say("is root", getuid() != 0);
    say("has privileges again", setuid(0) < 0 && seteuid(0) < 0);
    say("sees the environment", getenv("HASHGET_DB") == NULL);
"#;

/// What one tries besides whose folder is its root.
const TRIES_TO_LEAVE: &str = r##"
    say("goes up", open("../../../../../etc/passwd", O_RDONLY) < 0);
    say("goes up before it opens", chdir("/..") == 0 && chdir("..") == 0 && open("etc/passwd", O_RDONLY) < 0);
    say("makes another root", mkdir("usr/root", 0700) == 0 && chroot("usr/root") < 0);
    say("mounts", mount("usr", "usr/root", NULL, MS_BIND, NULL) < 0);
    say("makes a namespace", unshare(CLONE_NEWUSER) < 0 && unshare(CLONE_NEWNS) < 0);
    struct __user_cap_header_struct asked = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct has[2];
    say("has capabilities", syscall(SYS_capget, &asked, has) == 0 && !(has[0].effective | has[1].effective | has[0].permitted | has[1].permitted));
    say("makes a file at the top", open("/new", O_CREAT | O_WRONLY, 0600) < 0 && mkdir("/newer", 0700) < 0);
    say("makes a file beside itself", open("/.hashget-program/bin/new", O_CREAT | O_WRONLY, 0600) < 0);
    say("writes to its own file", open("/.hashget-program/bin/systemd-hwdb", O_WRONLY) < 0);
    say("removes its own file", unlink("/.hashget-program/bin/systemd-hwdb") < 0);
    say("moves its folder", rename("/.hashget-program", "/usr/program") < 0 && rename("/.hashget-program", "/other") < 0);
    say("moves its own file", rename("/.hashget-program/bin/systemd-hwdb", "/usr/program") < 0);
    say("gives its own file another name", link("/.hashget-program/bin/systemd-hwdb", "/usr/program") < 0);
    int written = open("/usr/program", O_CREAT | O_WRONLY, 0755);
    say("executes what it has written", write(written, "#!/.hashget-program/bin/systemd-hwdb\n", 37) == 37 && !close(written)
        && execl("/usr/program", "program", (char *)0) < 0 && errno == EACCES);
    say("sees other processes", open("/proc/self/status", O_RDONLY) < 0);
"##;

/// What comes out of such tries if nothing of that is allowed.
fn made_by(tries: &str) -> String {
    let tried = tries.lines().filter_map(|line| line.split_once("say(\"")?.1.split('"').next());
    let lines = tried.map(|line| format!("{line} refused\n"));
    format!("a module\n{}{}", lines.collect::<String>(), padding())
}

fn made() -> String {
    made_by(TRIES)
}

fn padding() -> String {
    (0..200).map(|number| format!("# {number}\n")).collect()
}

/// A machine with a tree that has a module and its index, and the packages of a program with this body.
fn machine(body: &str, index: &str) -> Machine {
    machine_of(&INDEXES, body, index)
}

/// The same for any recipe.
fn machine_of(recipe: &Recipe, body: &str, made: &str) -> Machine {
    let machine = Machine::new();
    let config = format!(
        "program_seconds = 2\n[[archive]]\nsystem = \"debian\"\npackages = \"{ARCHIVE}\"\n"
    );
    machine.write("own-config.toml", config);
    let Recipe { package: name, program: place, called, words, source, opens, made: makes } =
        recipe;
    let defined = format!(
        "#define CALLED \"{called}\"\n#define WORDS {words}\n#define SOURCE \"{source}\"\n\
         #define OPENS \"{opens}\"\n#define MADE \"{makes}\"\n"
    );
    let text = machine.write("program.c", format!("{defined}{BEGIN}{body}{END}"));
    let program = machine.path("program");
    let compiled = std::process::Command::new("cc").arg("-o").args([&program, &text]).status();
    assert!(compiled.unwrap().success());
    let program = fs_err::read(program).unwrap();
    let tar = TarBuilder::new().entry(&TarEntry {
        name: format!("./{place}").as_bytes(),
        content: &program,
        mode: 0o755,
        ..TarEntry::default()
    });
    package(&machine, name, "Depends: libc6 (>= 1) | other, nothing-else\n", tar);
    package(&machine, "libc6", "", libraries());
    let sources = TarBuilder::new().file(&format!("./{source}"), b"a module\n");
    package(&machine, "linux-image", "", sources.file("./usr/share/doc/x", &[b'x'; 5000]));
    machine.write(&format!("tree/{source}"), "a module\n");
    machine.write("tree/usr/share/doc/x", [b'x'; 5000]);
    machine.write("tree/etc/own", "mine\n");
    machine.write(&format!("tree/{makes}"), made);
    machine
}

/// The libraries of this machine, as a package has them.
fn libraries() -> TarBuilder {
    let architecture = std::env::consts::ARCH;
    let loader =
        if architecture == "x86_64" { "ld-linux-x86-64.so.2" } else { "ld-linux-aarch64.so.1" };
    let folder = format!("/lib/{architecture}-linux-gnu");
    [loader, "libc.so.6"].into_iter().fold(TarBuilder::new(), |tar, name| {
        let content = fs_err::read(format!("{folder}/{name}")).unwrap();
        tar.entry(&TarEntry {
            name: format!(".{folder}/{name}").as_bytes(),
            content: &content,
            mode: 0o755,
            ..TarEntry::default()
        })
    })
}

/// Makes a package known, and puts it into the pool.
fn package(machine: &Machine, name: &str, fields: &str, data: TarBuilder) {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let control = format!("Package: {name}\nVersion: 1\nArchitecture: {architecture}\n{fields}");
    let file = format!("{name}_1_{architecture}.deb");
    let package = deb(&[("control", control.as_bytes())], &data.finish(), "gzip");
    machine.write(&format!("pool/{file}"), package);
    let (url, file) = (format!("{ARCHIVE}{file}"), format!("pool/{file}"));
    machine.hashget(&["index", &url, "--file", &file]).expect(0);
}

fn offline(machine: &Machine, arguments: &[&str]) -> Ended {
    machine.hashget(&[&["--offline", "--pool", "pool"], arguments].concat())
}

fn pack(machine: &Machine, derive: &str) -> Ended {
    let pack = ["pack", "tree", "-f", "a.tar.zst", "--unasked", "--no-index", "--derive", derive];
    offline(machine, &[&pack[..], &["--max-fetch-ratio", "1000000"]].concat())
}

/// The index as it is in a folder.
fn index_in(machine: &Machine, folder: &str) -> Option<String> {
    fs_err::read_to_string(machine.path(folder).join(INDEX)).ok()
}

pub(crate) fn a_confined_program_makes_what_the_tree_has() {
    let machine = machine(TRIES, &made());
    // Whoever starts hashget may leave files open in it.
    let left_open: Vec<fs_err::File> =
        (0..8).map(|_| fs_err::File::open(machine.path("own-config.toml")).unwrap()).collect();
    for file in &left_open {
        rustix::io::fcntl_setfd(file.file(), rustix::io::FdFlags::empty()).unwrap();
    }
    pack(&machine, "all").expect(0).says(&["Derived", RECIPE]);
    let archive = "a.tar.zst";
    let info = offline(&machine, &["--json", "info", archive]).expect(0).records();
    let derived = json!({ "module-index": { "files": 1, "bytes": made().len() } });
    assert_eq!(info.last().unwrap()["derived"], derived);
    offline(&machine, &["list", archive]).expect(0).prints(&[INDEX]);
    let unpack = ["unpack", archive, "-C"];
    offline(&machine, &[&unpack[..], &["all", "--derive", "all"]].concat())
        .expect(0)
        .says(&["Proven"]);
    assert_eq!(index_in(&machine, "all"), Some(made()));
    // Without being asked, no program is run.
    let not_made = "derived by a program, not made: `hashget restore --derive all DIR` makes it";
    offline(&machine, &[&unpack[..], &["pure"]].concat()).expect(3).says(&[INDEX, not_made]);
    assert_eq!(index_in(&machine, "pure"), None);
    offline(&machine, &["restore", "pure", "--derive", "all"]).expect(0).says(&["Proven"]);
    assert_eq!(index_in(&machine, "pure"), Some(made()));
    offline(&machine, &["verify", "--deep", archive]).expect(3);
    offline(&machine, &["verify", "--deep", archive, "--derive", "all"]).expect(0);
    offline(&machine, &["cat", archive, INDEX]).says(&["derived by a program, not made"]);
    let dry = ["--dry-run", "--derive", "all"];
    offline(&machine, &[&unpack[..], &["nowhere"], &dry].concat()).expect(0).prints(&[INDEX]);
}

pub(crate) fn the_real_gzip_compresses_what_was_put_together() {
    let machine = Machine::new();
    let config = format!("[[archive]]\nsystem = \"debian\"\npackages = \"{ARCHIVE}\"\n");
    machine.write("own-config.toml", config);
    let gzip = fs_err::read("/bin/gzip").unwrap();
    let program = TarBuilder::new().entry(&TarEntry {
        name: b"./bin/gzip",
        content: &gzip,
        mode: 0o755,
        ..TarEntry::default()
    });
    let noise = |seed: &str, count: u32| -> Vec<u8> {
        let digest = |number| *Digest::of(format!("{seed} {number}").as_bytes()).as_bytes();
        (0..count).flat_map(digest).collect()
    };
    // gzip looks back by 32 KiB: each of them takes its room.
    let gear = noise("gear", 3200);
    machine.hashget(&["index", "--blocks", "--tree", "pool"]);
    package(&machine, "gzip", "Pre-Depends: libc6 (>= 2)\n", program);
    package(&machine, "libc6", "", libraries());
    package(&machine, "gear", "", TarBuilder::new().file("./usr/share/gear", &gear));
    let image = [gear.repeat(11), noise("own", 100)].concat();
    machine.write("tree/boot/image", &image);
    for level in ["-1", "-6", "-9"] {
        let mut gzip = std::process::Command::new("gzip");
        let status = gzip.args(["-kf", level]).arg(machine.path("tree/boot/image")).status();
        assert!(status.unwrap().success());
        fs_err::remove_file(machine.path("tree/boot/image")).unwrap();
        let expected = fs_err::read(machine.path("tree/boot/image.gz")).unwrap();
        pack(&machine, "all").expect(0).says(&["In pieces", "1 compressed by gzip"]);
        assert!(fs_err::metadata(machine.path("a.tar.zst")).unwrap().len() < 20_000);
        let back = format!("back{level}");
        let unpack = ["unpack", "a.tar.zst", "-C", &back, "--derive", "all"];
        offline(&machine, &unpack).expect(0).says(&["Proven"]);
        assert!(fs_err::read(machine.path(&back).join("boot/image.gz")).unwrap() == expected);
        offline(&machine, &["verify", "--deep", "a.tar.zst", "--derive", "all"]).expect(0);
        offline(&machine, &["verify", "--deep", "a.tar.zst"]).expect(3);
        let why = "compressed by a program, not made: unpack it with `--derive all`";
        offline(&machine, &["cat", "a.tar.zst", "boot/image.gz"]).says(&[why]);
        // Whoever has the file needs no program.
        let back = format!("whole{level}");
        offline(&machine, &["unpack", "a.tar.zst", "-C", &back]).expect(3);
        offline(&machine, &["restore", &back, "--accept", "tree"]).expect(0).says(&["Proven"]);
        machine.write("tree/boot/image", &image);
        fs_err::remove_file(machine.path("tree/boot/image.gz")).unwrap();
    }
}

/// Packs and unpacks, as root or as another user, and compares what was made.
fn makes_it_in_a_root_of_its_own(machine: &Machine, hashget: &dyn Fn(&[&str]) -> Ended) {
    let made = fs_err::read_to_string(machine.path("tree").join(HARDWARE.made)).unwrap();
    let pack = ["pack", "tree", "-f", "home/a.tar.zst", "--unasked", "--no-index"];
    let ratio = ["--max-fetch-ratio", "1000000", "--derive", "all"];
    hashget(&[&pack[..], &ratio].concat()).expect(0).says(&["1 by hardware-database"]);
    hashget(&["unpack", "home/a.tar.zst", "-C", "home/back", "--derive", "all"])
        .expect(0)
        .says(&["Proven"]);
    let back = fs_err::read_to_string(machine.path("home/back").join(HARDWARE.made)).unwrap();
    assert_eq!(back, made);
}

pub(crate) fn a_program_with_a_root_of_its_own_does_not_leave_it() {
    let tries = format!("{TRIES}{TRIES_TO_LEAVE}");
    let machine = machine_of(&HARDWARE, &tries, &made_by(&tries));
    trees::folder(&machine.path("."), "home");
    makes_it_in_a_root_of_its_own(&machine, &|arguments| offline(&machine, arguments));
}

pub(crate) fn another_user_gives_a_program_a_root_of_its_own() {
    let tries = format!("{TRIES}{TRIES_TO_LEAVE}");
    let machine = machine_of(&HARDWARE, &tries, &made_by(&tries));
    trees::mode(&machine.path("."), 0o755);
    trees::folder(&machine.path("."), "home");
    let as_root = [("cp", &["-r", "db", "home/db"][..]), ("chown", &["-R", USER, "home"])];
    for (program, arguments) in as_root {
        let mut command = std::process::Command::new(program);
        assert!(command.args(arguments).current_dir(machine.path("")).status().unwrap().success());
    }
    let (home, user) = (machine.path("home"), USER.parse().unwrap());
    makes_it_in_a_root_of_its_own(&machine, &|arguments| {
        let arguments = [&["--offline", "--pool", "pool"], arguments].concat();
        let child = machine.start(&arguments, |command| {
            command.env("HASHGET_DB", home.join("db")).env("HASHGET_CACHE", home.join("cache"));
            command.env("HASHGET_STATE", home.join("state")).env("TMPDIR", &home);
            command.uid(user).gid(user);
        });
        Ended::wait(child)
    });
}

pub(crate) fn what_is_not_asked_for_or_not_right_is_archived() {
    let machine = machine(TRIES, &made());
    pack(&machine, "pure").expect(0).says_not(&[RECIPE]);
    let other = |number: u32| format!("{}\n", Digest::of(&number.to_le_bytes()));
    machine.write(&format!("tree/{INDEX}"), (0..50).map(other).collect::<String>());
    pack(&machine, "all").expect(0).says_not(&[RECIPE]);
    offline(&machine, &["unpack", "a.tar.zst", "-C", "back"]).expect(0).says(&["Proven"]);
    assert_eq!(index_in(&machine, "back"), index_in(&machine, "tree"));
}

pub(crate) fn programs_that_misbehave_cost_what_they_should_make() {
    let kept = format!("a module\n{}", padding());
    for (body, why) in [
        ("return 7;", "the tool ended with exit code 7"),
        ("abort();", "the tool ended with signal 6"),
        ("fprintf(stderr, \"no \\033 luck\\n\"); return 1;", "exit code 1: no \\u{1b} luck"),
        ("for (;;) pause();", "the tool was stopped after 2 seconds"),
        ("for (;;) fork();", "the tool was stopped after 2 seconds"),
        (
            "unlink(\"usr/lib/modules/1/modules.dep\"); symlink(\"/etc/passwd\", \"usr/lib/modules/1/modules.dep\");",
            "",
        ),
        (
            "unlink(\"usr/lib/modules/1/modules.dep\"); mkfifo(\"usr/lib/modules/1/modules.dep\", 0600);",
            "",
        ),
    ] {
        let body = format!("extern int mkfifo(const char *, unsigned);\n{body}");
        let machine = machine(&body, &kept);
        let packed = pack(&machine, "all").expect(0).says_not(&[RECIPE]);
        if !why.is_empty() {
            packed.says(&["1 file archived that it might make", why]);
        }
        offline(&machine, &["unpack", "a.tar.zst", "-C", "back"]).expect(0).says(&["Proven"]);
        assert_eq!(index_in(&machine, "back").as_ref(), Some(&kept), "{body}");
    }
}

pub(crate) fn a_manifest_runs_no_other_program() {
    let machine = machine(TRIES, &made());
    pack(&machine, "all").expect(0).says(&[RECIPE]);
    offline(&machine, &["unpack", "a.tar.zst", "-C", "back"]).expect(3);
    let manifest = "back/.hashget-restore.json";
    let text = fs_err::read_to_string(machine.path(manifest)).unwrap();
    let tool = text.split("\"tool\":[").nth(1).unwrap().split(']').next().unwrap().to_owned();
    let (first, second) = tool.split_once(',').unwrap();
    let turned = format!("{second},{first}");
    let other = format!("\"{}\"", "0".repeat(64));
    for (from, to, why) in [
        ("\"module-index\"", "\"tea\"", "does not know the recipe tea"),
        (&*tool, &*turned, "the recipe's program is in kmod, and the package is libc6"),
        (&tool, &other, "the manifest does not have its package"),
        ("{\"folder\":\"usr/lib/modules/1\"}", "{}", "the manifest's parameter folder is missing"),
        (
            "\"usr/lib/modules/1\"}",
            "\"usr/lib/modules/1/-x\"}",
            "is no folder of a kernel's modules",
        ),
        (
            ARCHIVE,
            "https://other.example/packages/",
            "is in no archive of packages that this machine knows",
        ),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        machine.write(manifest, text.replace(from, to));
        offline(&machine, &["restore", "back", "--derive", "all"]).expect(3).says(&[
            why,
            "1 file not made",
            INDEX,
        ]);
        assert_eq!(index_in(&machine, "back"), None);
        assert_eq!(fs_err::read_to_string(machine.path("back/etc/own")).unwrap(), "mine\n");
    }
    machine.write(manifest, &text);
    offline(&machine, &["restore", "back", "--derive", "all"]).expect(0).says(&["Proven"]);
}

pub(crate) fn who_runs_no_programs_names_what_they_make() {
    let machine = machine(TRIES, &made());
    pack(&machine, "all").expect(0).says(&[RECIPE]);
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/restore.py");
    let mut python = std::process::Command::new("python3");
    python.current_dir(machine.path("")).args(["-B", program, "a.tar.zst", "-C", "back"]);
    let output = python.args(["--offline", "--packages", "pool"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    let named = said.lines().filter(|line| line.contains(INDEX)).collect::<Vec<_>>();
    assert_eq!(named.len(), 1, "{said}");
    assert!(named[0].contains("1 file not made, which a program makes (recipe module-index)"));
    assert_eq!(index_in(&machine, "back"), None);
    offline(&machine, &["restore", "back", "--derive", "all"]).expect(0).says(&["Proven"]);
    assert_eq!(index_in(&machine, "back"), Some(made()));
}
