//! What every keeper of answers must do.
//!
//! Invariant: the suite uses nothing but the trait.

use hashget::hashdb::{Check, CheckOutcome, Checks};
use hashget::model::Digest;

/// Runs the suite of [`Checks`] on one that keeps none.
pub(crate) fn check(checks: &dyn Checks) {
    let sha256 = Digest::of(b"a package that is not known");
    let another = Digest::of(b"another");
    assert_eq!(checks.checks(&[sha256]).unwrap(), [vec![]]);
    assert_eq!(checks.checks(&[]).unwrap(), Vec::<Vec<Check>>::new());
    let check = |url: &str, deep, checked_at, outcome| Check {
        sha256,
        url: url.to_owned(),
        deep,
        checked_at,
        outcome,
    };
    let first = check("https://b.example/", false, 1_700_000_000, CheckOutcome::Unreachable);
    let deep = check("https://b.example/", true, 1_700_000_001, CheckOutcome::Differs);
    let other = check("https://a.example/", false, i64::MAX, CheckOutcome::Gone);
    for check in [&first, &deep, &other] {
        checks.put_check(check).unwrap();
    }
    assert_eq!(checks.checks(&[sha256]).unwrap(), [vec![other.clone(), first, deep.clone()]]);
    let again = check("https://b.example/", false, 1_600_000_000, CheckOutcome::Present);
    checks.put_check(&again).unwrap();
    let all = vec![other, again, deep];
    assert_eq!(checks.checks(&[sha256]).unwrap(), std::slice::from_ref(&all));
    assert_eq!(checks.checks(&[another]).unwrap(), [vec![]]);
    let of_another = Check { sha256: another, ..all[0].clone() };
    checks.put_check(&of_another).unwrap();
    let answers = [vec![of_another.clone()], all.clone(), vec![of_another]];
    assert_eq!(checks.checks(&[another, sha256, another]).unwrap(), answers);
}
