//! Which HashDB, cache and configuration the program uses: flag, environment, configuration, default.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod support;

use support::{Ended, Machine};

/// Where `db status` says the HashDB is.
fn location(ended: &Ended) -> String {
    ended.last_record()["location"].as_str().unwrap().to_owned()
}

#[test]
fn a_flag_wins_over_the_environment_that_over_the_configuration() {
    let machine = Machine::new();
    let config = machine.write("etc/config.toml", "db = \"configured\"\n");
    let mut command = machine.bare();
    command.env("HASHGET_CONFIG", &config).args(["db", "status", "--json"]);
    let ended = Ended::of(&mut command).expect(0);
    // A relative place lies beside the configuration that names it.
    assert!(location(&ended).starts_with(machine.path("etc/configured").to_str().unwrap()));

    command.env("HASHGET_DB", machine.path("variable"));
    let ended = Ended::of(&mut command).expect(0);
    assert!(location(&ended).starts_with(machine.path("variable").to_str().unwrap()));

    command.arg("--db").arg(machine.path("flag"));
    let ended = Ended::of(&mut command).expect(0);
    assert!(location(&ended).starts_with(machine.path("flag").to_str().unwrap()));
}

#[test]
fn pools_of_all_places_are_asked() {
    let machine = Machine::new();
    for (pool, text) in [("flag", "a"), ("variable", "b"), ("configured", "c")] {
        machine.write(&format!("{pool}/package"), text);
    }
    let config = machine.write("config.toml", "pool = [\"configured\"]\n");
    // What is known of a package is its digest: a package was indexed once, with its file at hand.
    let urls = ["a", "b", "c"].map(|name| format!("http://127.0.0.1:9/{name}.bin"));
    for (url, pool) in urls.iter().zip(["flag", "variable", "configured"]) {
        let file = machine.path(pool).join("package");
        machine
            .hashget(&["index", "--file", file.to_str().unwrap(), "--signature", "x:y", url])
            .expect(0);
        let mut command = machine.bare();
        command.env("HASHGET_DB", machine.path("db")).env("HASHGET_CACHE", machine.path("cache"));
        command.env("HASHGET_CONFIG", &config).env("HASHGET_POOL", machine.path("variable"));
        command.args(["--pool", "flag", "--offline", "get", "x:y", "-o"]);
        let output = machine.path(&format!("output-{pool}"));
        fs_err::create_dir(&output).unwrap();
        Ended::of(command.arg(&output)).expect(0);
        let name = url.rsplit('/').next().unwrap();
        assert_eq!(fs_err::read(output.join(name)).unwrap(), fs_err::read(&file).unwrap());
        machine.hashget(&["db", "remove", "--package", url]).expect(0);
    }
}
