//! The test vectors of statements, which a program in another language made from the page about the format.

use hashget::hashdb::member_list;
use hashget::model::{Digest, Member};
use hashget_published::Statement;
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    package: Digest,
    size: u64,
    format: String,
    nested: bool,
    members: Vec<Member>,
    list_bytes: String,
    list: Digest,
    statement: String,
    statement_digest: Digest,
}

#[test]
fn statements_are_those_of_the_test_vectors() {
    for (name, text) in [
        ("nothing", include_str!("../vectors/nothing.json")),
        ("plain", include_str!("../vectors/plain.json")),
        ("strange", include_str!("../vectors/strange.json")),
    ] {
        let vector: Vector = serde_json::from_str(text).unwrap();
        let mut canonical = Vec::new();
        member_list::write_canonical(&vector.members, &mut canonical).unwrap();
        assert_eq!(hex::encode(&canonical), vector.list_bytes, "{name}");
        assert_eq!(member_list::digest(&vector.members), vector.list, "{name}");
        let Vector { package, size, format, nested, members, .. } = &vector;
        let statement = Statement::new(*package, *size, format, *nested, members);
        assert_eq!(statement.to_string(), vector.statement, "{name}");
        assert_eq!(statement.digest(), vector.statement_digest, "{name}");
        assert_eq!(vector.statement.parse(), Ok(statement), "{name}");
        let blob = member_list::encode(members).unwrap();
        let mut read = Vec::new();
        let digest = member_list::decode_and_hash(&*blob, &mut |one| read.push(one)).unwrap();
        assert_eq!((digest, &read), (vector.list, members), "{name}");
    }
}
