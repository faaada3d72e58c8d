//! Commands of a shell as stores.

use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use hashget::monitor::{Event, Monitor, Silent};
use hashget_backup::store::{
    Address, CommandStore, Commands, Compared, Store as _, StoreError, open_store,
};

use crate::conformance::{Can, StopAfter, bytes, check_store, names, read, send, send_watched};
use crate::support::settings;

/// What a person would write who keeps files in a folder by commands.
fn commands(folder: &Path) -> Commands {
    let folder = folder.display();
    Commands {
        send: format!(
            "cd {folder} && t=$(mktemp .XXXXXX) && cat > $t && ln -T $t {{name}} && rm $t"
        ),
        read: Some(format!("cat {folder}/{{name}}")),
        list: Some(format!("find {folder} -mindepth 1 -not -name '.*' -printf '%s %f\\n'")),
        remove: Some(format!("rm {folder}/{{name}}")),
    }
}

#[test]
fn commands_conform() {
    let folder = tempfile::tempdir().unwrap();
    let can = Can { random: false, compared: Compared::Checksum };
    check_store(&CommandStore::new(commands(folder.path())), can);
}

#[test]
fn a_command_alone_can_send_and_says_what_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("exec:cat > {}/{{name}}", folder.path().display());
    let address = Address::parse(&text).unwrap();
    let store = open_store(&address, &settings(Vec::new())).unwrap();
    assert_eq!(send(&*store, "it's a", &bytes(300_000)).unwrap(), Compared::Nothing);
    assert!(fs_err::read(folder.path().join("it's a")).unwrap() == bytes(300_000));
    for error in [
        store.list(&Silent).unwrap_err(),
        read(&*store, "it's a").unwrap_err(),
        store.remove("it's a", &Silent).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Unsupported { .. }), "{error}");
    }
    assert!(store.clean(&Silent).unwrap().is_empty());
}

#[test]
fn a_command_that_fails_is_told_with_what_it_said() {
    let store = |send: &str| {
        CommandStore::new(Commands { send: send.to_owned(), read: None, list: None, remove: None })
    };
    let error =
        send(&store("cat > /dev/null; echo 'no space\x1b[2J' >&2; exit 3"), "a", b"x").unwrap_err();
    let text = error.to_string();
    assert!(text.contains("exit status: 3") && text.contains("no space\\u{1b}"), "{text}");
    let error = send(&store("head -c 10 > /dev/null"), "a", &bytes(3_000_000)).unwrap_err();
    assert!(error.to_string().contains("before it had taken all"), "{error}");
    let error = send(&store("kill -9 $$"), "a", b"x").unwrap_err();
    assert!(error.to_string().contains("signal"), "{error}");
    let watched = send_watched(&store("sleep 1000"), "a", &bytes(3_000_000), &StopAfter::bytes(0));
    assert!(matches!(watched.unwrap_err(), StoreError::Interrupted(_)));
}

#[test]
fn what_a_command_has_changed_is_found_out_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let whole = commands(folder.path());
    let send_ = format!("tr a b > {}/{{name}}", folder.path().display());
    let store = CommandStore::new(Commands { send: send_, ..whole.clone() });
    let error = send(&store, "a", b"aaa").unwrap_err();
    assert!(matches!(error, StoreError::Different { .. }), "{error}");
    assert!(names(&store).is_empty());
    let odd = CommandStore::new(Commands { list: Some("echo nonsense".to_owned()), ..whole });
    assert!(odd.list(&Silent).unwrap_err().to_string().contains("nonsense"));
}

/// Asks to stop once something has been going on for a while.
#[derive(Default)]
struct StopSoon(AtomicU32);

impl Monitor for StopSoon {
    fn event(&self, _event: Event<'_>) {}

    fn interrupted(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) > 3
    }
}

#[test]
fn a_command_that_prints_nothing_and_does_not_end_can_be_interrupted() {
    let hangs = || Some("sleep 1000".to_owned());
    let commands = Commands { send: "cat".to_owned(), read: hangs(), list: None, remove: None };
    let (store, monitor) = (CommandStore::new(commands), StopSoon::default());
    let mut source = store.open("a", &monitor).unwrap();
    let error = source.read(&mut [0; 9]).unwrap_err();
    assert!(error.to_string().contains("interrupted"), "{error}");
}
