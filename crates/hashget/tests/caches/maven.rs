//! Maven's local repository, and Gradle's cache.

use std::path::Path;

use hashget_testkit::packages::{ZipEntry, zip};

use super::{answer, assert_nothing, found, nonsense, sha1, the_only, write};

const FOLDER: &str = ".m2/repository/org/example/tool/1.2";
const SETTINGS: &str = "<?xml version=\"1.0\"?><settings xmlns=\"http://maven.example/SETTINGS/1.0.0\">\
    <servers><server><id>inside</id><username>u</username><password>secret</password></server></servers>\
    <mirrors><mirror><id>blocker</id><url>http://0.0.0.0/</url><blocked>true</blocked></mirror></mirrors>\
    <profiles><profile><repositories>\
    <repository><id>public</id><url>https://maven.example/releases/</url></repository>\
    <repository><id>inside</id><url>https://inside.example/</url></repository>\
    <repository><id>login</id><url>https://u:secret@login.example/</url></repository>\
    </repositories></profile></profiles></settings>";

fn jar() -> Vec<u8> {
    vec![7; 5000]
}

fn repository(home: &Path, list: &str) {
    write(home, &format!("{FOLDER}/_remote.repositories"), list);
    write(home, &format!("{FOLDER}/tool-1.2.jar"), jar());
    write(home, &format!("{FOLDER}/tool-1.2.pom"), vec![b' '; 5000]);
    write(home, ".m2/settings.xml", SETTINGS);
}

const LIST: &str = "#NOTE: This is a Maven Resolver internal implementation file\n#Mon\n\
    tool-1.2.jar>public=\ntool-1.2.pom>public=\n";

#[test]
fn the_file_is_the_package() {
    let home = tempfile::tempdir().unwrap();
    repository(home.path(), LIST);
    let digest = sha1(&jar()).to_string();
    let digest = digest.strip_prefix("sha1:").unwrap();
    write(home.path(), &format!("{FOLDER}/tool-1.2.jar.sha1"), format!("{digest}  tool-1.2.jar\n"));
    for tree in [".", ".m2", ".m2/repository/org", FOLDER] {
        let candidate = the_only("maven", &home.path().join(tree));
        assert_eq!(
            candidate.url,
            "https://maven.example/releases/org/example/tool/1.2/tool-1.2.jar"
        );
        assert_eq!(candidate.checksum, Some(sha1(&jar())));
        assert_eq!(candidate.size, Some(5000));
        assert_eq!(fs_err::read(candidate.local_file.unwrap()).unwrap(), jar());
        assert!(candidate.question.is_none());
    }
}

#[test]
fn the_repository_may_have_another_name_and_a_group_the_usual_one() {
    for (folder, settings) in [
        (".m2/repository/org/example/repository/core/tool/1.2", ""),
        ("maven/repository/org/example/repository/core/tool/1.2", ""),
        ("project/.m2repo/org/example/repository/core/tool/1.2", ""),
        (
            "big/cache/org/example/repository/core/tool/1.2",
            "<localRepository>/big/cache</localRepository>",
        ),
        (
            "big/cache/org/example/repository/core/tool/1.2",
            "<localRepository>${user.home}/big/cache/</localRepository>",
        ),
    ] {
        let home = tempfile::tempdir().unwrap();
        write(home.path(), &format!("{folder}/_remote.repositories"), "tool-1.2.jar>public=\n");
        write(home.path(), &format!("{folder}/tool-1.2.jar"), jar());
        let settings = SETTINGS.replace("<servers>", &format!("{settings}<servers>"));
        write(home.path(), ".m2/settings.xml", settings);
        let url = the_only("maven", home.path()).url;
        let expected =
            "https://maven.example/releases/org/example/repository/core/tool/1.2/tool-1.2.jar.sha1";
        assert_eq!(url, expected, "{folder}");
    }
}

#[test]
fn without_a_digest_the_repository_is_asked() {
    let home = tempfile::tempdir().unwrap();
    repository(home.path(), LIST);
    let candidate = the_only("maven", home.path());
    let url = "https://maven.example/releases/org/example/tool/1.2/tool-1.2.jar";
    assert_eq!(candidate.question.as_ref().unwrap().pages(), [format!("{url}.sha1")]);
    let page = sha1(&jar()).to_string()["sha1:".len()..].to_owned();
    let told = answer(&candidate, page.as_bytes()).unwrap().unwrap();
    assert_eq!((told.url.as_str(), told.checksum), (url, Some(sha1(&jar()))));
    for page in nonsense() {
        // Forty times the letter a is a SHA-1.
        assert!(page.starts_with(b"aaaa") || answer(&candidate, &page).is_err());
    }
}

#[test]
fn what_is_not_public_gives_nothing() {
    for list in [
        "tool-1.2.jar>=\n",
        "tool-1.2.jar>inside=\n",
        "tool-1.2.jar>login=\n",
        "../../../tool-1.2.jar>public=\n",
        "gone.jar>public=\n",
        "#tool-1.2.jar>public=\n",
        "",
    ] {
        let home = tempfile::tempdir().unwrap();
        repository(home.path(), list);
        assert_nothing("maven", home.path());
    }
    let home = tempfile::tempdir().unwrap();
    write(home.path(), ".m2/settings.xml", SETTINGS);
    let snapshot = ".m2/repository/org/example/tool/1-SNAPSHOT";
    write(home.path(), &format!("{snapshot}/_remote.repositories"), "tool-1.jar>public=\n");
    write(home.path(), &format!("{snapshot}/tool-1.jar"), jar());
    write(home.path(), "elsewhere/_remote.repositories", "tool-1.jar>public=\n");
    write(home.path(), "elsewhere/tool-1.jar", jar());
    assert_nothing("maven", home.path());
}

#[test]
fn a_repository_that_nobody_names_is_told() {
    for id in ["central", "blocker"] {
        let home = tempfile::tempdir().unwrap();
        repository(home.path(), &format!("tool-1.2.jar>{id}=\n"));
        let (candidates, errors) = found("maven", home.path());
        assert!(candidates.is_empty());
        assert!(errors[0].to_string().contains(&format!("\"{id}\"")), "{errors:?}");
    }
}

/// What every project inherits, in the jar in which Maven has it.
fn model_builder() -> Vec<u8> {
    let pom = "<project><repositories><repository><id>central</id>\
        <url>https://central.example/maven2</url></repository></repositories></project>";
    zip(&[ZipEntry {
        name: b"org/apache/maven/model/pom-4.0.0.xml",
        content: pom.as_bytes(),
        ..ZipEntry::default()
    }])
}

#[test]
fn the_default_stands_in_mavens_own_jar() {
    for jar in [
        ".m2/repository/org/apache/maven/maven-model-builder/3.9.6/maven-model-builder-3.9.6.jar",
        "usr/share/maven/lib/maven-model-builder-3.x.jar",
    ] {
        let home = tempfile::tempdir().unwrap();
        repository(home.path(), "tool-1.2.jar>central=\n");
        write(home.path(), jar, model_builder());
        let url = the_only("maven", home.path()).url;
        assert_eq!(url, "https://central.example/maven2/org/example/tool/1.2/tool-1.2.jar.sha1");
        for damaged in nonsense() {
            write(home.path(), jar, &damaged);
            assert!(found("maven", home.path()).0.is_empty());
        }
    }
}

#[test]
fn settings_and_lists_that_cannot_be_understood() {
    let home = tempfile::tempdir().unwrap();
    repository(home.path(), LIST);
    super::assert_survives("maven", home.path(), ".m2/settings.xml");
    write(home.path(), ".m2/settings.xml", SETTINGS);
    super::assert_survives("maven", home.path(), &format!("{FOLDER}/_remote.repositories"));
}

/// Gradle's cache with a jar; its SHA-1 begins with a zero, which Gradle leaves away.
fn gradle(home: &Path) -> Vec<u8> {
    let jar = (0_u32..)
        .map(|count| [jar(), count.to_le_bytes().to_vec()].concat())
        .find(|jar| sha1(jar).to_string().starts_with("sha1:0"))
        .unwrap();
    let digest = sha1(&jar).to_string()["sha1:".len()..].trim_start_matches('0').to_owned();
    let folder = ".gradle/caches/modules-2/files-2.1/org.example.deep/tool/1.2";
    write(home, &format!("{folder}/{digest}/tool-1.2.jar"), &jar);
    write(home, &format!("{folder}/aaaa/tool-1.2.jar"), &jar);
    jar
}

#[test]
fn gradle_keeps_files_under_their_sha1() {
    let home = tempfile::tempdir().unwrap();
    let jar = gradle(home.path());
    let (_, errors) = found("gradle", home.path());
    assert!(errors[0].to_string().contains("init.gradle"), "{errors:?}");
    write(home.path(), ".m2/settings.xml", SETTINGS);
    let script = "allprojects { repositories { maven { url 'https://own.example/m2/' } } }";
    write(home.path(), ".gradle/init.d/own.gradle", script);
    let candidate = the_only("gradle", home.path());
    let pages = candidate.question.as_ref().unwrap().pages().to_vec();
    let place = "org/example/deep/tool/1.2/tool-1.2.jar.sha1";
    let expected = ["https://own.example/m2/", "https://maven.example/releases/"];
    assert_eq!(pages, expected.map(|base| format!("{base}{place}")));
    assert_eq!(candidate.checksum, Some(sha1(&jar)));
    let page = sha1(&jar).to_string()["sha1:".len()..].to_owned();
    assert_eq!(answer(&candidate, page.as_bytes()).unwrap().unwrap().checksum, Some(sha1(&jar)));
    // Another build of that name is not meant.
    assert_eq!(answer(&candidate, "ab".repeat(20).as_bytes()), Ok(None));

    let secret = "maven { url 'https://own.example/m2/'\n credentials { password 'secret' } }";
    write(home.path(), ".gradle/init.d/own.gradle", secret);
    assert!(!format!("{:?}", the_only("gradle", home.path())).contains("own.example"));
}

#[test]
fn a_jar_that_is_too_large_is_reported_and_ignored() {
    let home = tempfile::tempdir().unwrap();
    repository(home.path(), LIST);
    let jar = "usr/share/maven/lib/maven-model-builder-3.9.jar";
    write(home.path(), jar, vec![0; 17 << 20]);
    let (candidates, errors) = found("maven", home.path());
    assert_eq!(candidates.len(), 1);
    let [error] = &errors[..] else { panic!("{errors:?}") };
    assert!(error.path.ends_with(jar) && error.problem.contains("too many"), "{error}");
}
