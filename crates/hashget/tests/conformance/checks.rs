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
        nanoseconds: 0,
        outcome,
        seen_at: (outcome == CheckOutcome::Present).then_some(checked_at),
        tail: None,
        published_at: None,
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
    the_last_sight_stays(checks);
    a_moving_url_stays_one(checks);
    let of_another = Check { sha256: another, ..all[0].clone() };
    checks.put_check(&of_another).unwrap();
    let answers = [vec![of_another.clone()], all.clone(), vec![of_another]];
    assert_eq!(checks.checks(&[another, sha256, another]).unwrap(), answers);
}

fn the_last_sight_stays(checks: &dyn Checks) {
    let sha256 = Digest::of(b"seen and not seen");
    let url = "https://c.example/seen";
    let check = |checked_at, outcome, tail: Option<&str>| Check {
        checked_at,
        nanoseconds: 7,
        seen_at: (outcome == CheckOutcome::Present).then_some(checked_at),
        tail: tail.map(str::to_owned),
        published_at: tail.map(|_| checked_at - 50),
        ..Check::now(sha256, url, false, outcome)
    };
    checks.put_check(&check(100, CheckOutcome::Present, Some("\"one\""))).unwrap();
    // A server that does not answer takes nothing back.
    checks.put_check(&check(150, CheckOutcome::Unreachable, None)).unwrap();
    let first = check(100, CheckOutcome::Present, Some("\"one\""));
    assert_eq!(checks.checks(&[sha256]).unwrap(), [vec![first]]);
    for outcome in [CheckOutcome::Gone, CheckOutcome::Differs] {
        checks.put_check(&check(200, outcome, None)).unwrap();
        let (seen_at, published_at) = (Some(100), Some(50));
        let kept = Check { seen_at, published_at, ..check(200, outcome, Some("\"one\"")) };
        assert_eq!(checks.checks(&[sha256]).unwrap(), [vec![kept.clone()]]);
        checks.put_check(&check(250, CheckOutcome::Unreachable, None)).unwrap();
        assert_eq!(checks.checks(&[sha256]).unwrap(), [vec![kept]]);
    }
    let again = check(300, CheckOutcome::Present, Some("\"two\""));
    checks.put_check(&again).unwrap();
    assert_eq!(checks.checks(&[sha256]).unwrap(), [vec![again]]);
}

fn a_moving_url_stays_one(checks: &dyn Checks) {
    let sha256 = Digest::of(b"what moves");
    let moves = Check::now(sha256, "https://c.example/latest", true, CheckOutcome::Moves);
    checks.put_check(&moves).unwrap();
    let there = Check::now(sha256, &moves.url, true, CheckOutcome::Present);
    checks.put_check(&there).unwrap();
    assert_eq!(checks.checks(&[sha256]).unwrap(), [vec![moves]]);
}
