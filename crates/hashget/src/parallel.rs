//! Work on several threads.
//!
//! Invariant: every thread has ended when a function here returns; a panic of one stops the others and goes on in the caller.
//! Nothing depends on which thread did what, except the time it took.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Calls `work` once on each of `threads` threads (at least one), the caller's own among them, with the thread's
/// number from 0 on. The results are in the order of those numbers; number 0 is the caller.
pub fn on_threads<R: Send>(threads: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let work = &work;
    std::thread::scope(|scope| {
        let others: Vec<_> =
            (1..threads.max(1)).map(|number| scope.spawn(move || work(number))).collect();
        let own = work(0);
        let joined = others
            .into_iter()
            .map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        [own].into_iter().chain(joined).collect()
    })
}

/// Does `own` on this thread and, meanwhile, `other` on another one.
pub fn beside<A, B: Send>(own: impl FnOnce() -> A, other: impl FnOnce() -> B + Send) -> (A, B) {
    std::thread::scope(|scope| {
        let other = scope.spawn(other);
        let own = own();
        (own, other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Calls `work` for each of `items`, on up to `threads` threads, the caller's own among them. Items are taken one at a
/// time, in their order, as threads become free: no more than one per thread is in memory. After the
/// first error or panic no further item is taken, and it goes on in the caller once the others at work are done.
pub fn for_each<T, E: Send>(
    threads: usize,
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let items = Mutex::new(items.fuse());
    let failed = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let next = || {
        let mut items = items.lock().ok()?;
        if failed.load(Ordering::Relaxed) { None } else { items.next() }
    };
    on_threads(threads, |_| {
        let _stop = OnPanic(|| failed.store(true, Ordering::Relaxed));
        while let Some(item) = next() {
            if let Err(error) = work(item) {
                failed.store(true, Ordering::Relaxed);
                failure.lock().expect("storing an error does not panic").get_or_insert(error);
            }
        }
    });
    failure.into_inner().expect("storing an error does not panic").map_or(Ok(()), Err)
}

/// Calls its function when it is dropped because the thread panics: threads that share work with it must not go on, or wait
/// for it.
pub(crate) struct OnPanic<F: Fn()>(pub(crate) F);

impl<F: Fn()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::{Barrier, Condvar};
    use std::thread;

    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_threads_and_the_caller_is_the_first() {
        let caller = thread::current().id();
        let found = on_threads(4, |number| (number, thread::current().id()));
        assert_eq!(found.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(found[0].1, caller);
        assert!(found[1..].iter().all(|(_, id)| *id != caller));
        assert_eq!(on_threads(0, |number| number), [0]);
    }

    #[test]
    fn every_item_is_worked_on_once_by_several_threads() {
        let together = Barrier::new(3);
        let sum = AtomicUsize::new(0);
        let outcome: Result<(), ()> = for_each(3, 1..=300, |number: usize| {
            if number <= 3 {
                // Passed only if three threads are at work.
                together.wait();
            }
            sum.fetch_add(number, Ordering::Relaxed);
            Ok(())
        });
        assert_eq!((outcome, sum.into_inner()), (Ok(()), 300 * 301 / 2));
        assert_eq!(for_each(3, std::iter::empty::<()>(), |()| Err(())), Ok(()));
    }

    #[test]
    fn the_first_error_stops_the_others() {
        let (entered, stopped) = (Mutex::new(0), Condvar::new());
        let outcome = for_each(2, 0.., |number: usize| {
            let mut entered = entered.lock().unwrap();
            *entered += 1;
            stopped.notify_all();
            // Both threads are at work when the first one fails.
            let _entered = stopped.wait_while(entered, |entered| *entered < 2).unwrap();
            Err::<(), usize>(number)
        });
        assert!(matches!(outcome, Err(0 | 1)), "{outcome:?}");
        assert_eq!(*entered.lock().unwrap(), 2);
    }

    #[test]
    fn a_panic_stops_the_others() {
        // Without an end to the items, the other threads end for no other reason.
        for panics in [0, 7] {
            let panicked = std::panic::catch_unwind(|| {
                for_each(3, 0.., |number: u64| -> Result<(), ()> {
                    assert_ne!(number, panics);
                    thread::yield_now();
                    Ok(())
                })
            });
            assert!(panicked.is_err());
        }
    }

    #[test]
    fn a_panic_goes_on_in_the_caller() {
        for threads in [1, 3] {
            let panicked = std::panic::catch_unwind(|| {
                for_each(threads, 0..10, |number| -> Result<(), ()> {
                    assert_ne!(number, 5);
                    Ok(())
                })
            });
            assert!(panicked.is_err());
        }
    }
}
