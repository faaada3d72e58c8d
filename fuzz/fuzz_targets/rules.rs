//! Any bytes as rules of a configuration (TOML, up to the first NUL), and as the file that these rules look for.
#![no_main]

use hashget::detectors::{Detector as _, Machine, Rule, RuleConfig};
use hashget::model::RelPath;
use libfuzzer_sys::fuzz_target;

#[derive(serde::Deserialize)]
struct Configuration {
    rule: Vec<RuleConfig>,
}

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let (config, text) = bytes.split_at(end);
    let Ok(config) = std::str::from_utf8(config) else { return };
    let Ok(config) = toml::from_str::<Configuration>(config) else { return };
    let Ok(rules) = Rule::compile_all(&config.rule) else { return };
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    std::fs::create_dir(folder.path().join("app")).expect("there is room");
    std::fs::write(folder.path().join("app/VERSION"), text).expect("there is room");
    for name in ["app", "app/VERSION"] {
        let path = RelPath::new(name).expect("a path");
        for rule in rules.iter().filter(|rule| rule.interested_in(&path)) {
            let _ = rule.detect(&Machine::default(), folder.path(), &path, &mut |_| {});
        }
    }
});
