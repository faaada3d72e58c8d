//! Something that is made when it is first wanted, by one thread, and given to all that want it.
//!
//! Invariant: while it is being made nobody else makes it. A failure is given to all that waited, and to those that ask within
//! a few seconds; after that it is tried again.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use super::failure::{ContentsError, LASTS};
use crate::parallel::OnPanic;

/// See the module.
pub(super) struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

enum State<T> {
    Absent,
    BeingMade,
    There(Arc<T>),
    Failed(Arc<ContentsError>, Instant),
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State::Absent), changed: Condvar::new() }
    }
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("no holder of this lock panics")
    }

    fn set(&self, state: State<T>) {
        *self.state() = state;
        self.changed.notify_all();
    }

    /// It, if it is there.
    pub(super) fn at_hand(&self) -> Option<Arc<T>> {
        match &*self.state() {
            State::There(found) => Some(Arc::clone(found)),
            _ => None,
        }
    }

    /// Lets go of it; it is made again when it is wanted again.
    pub(super) fn forget(&self) {
        let mut state = self.state();
        if matches!(*state, State::There(_)) {
            *state = State::Absent;
        }
    }

    /// It; if it is not there, `make` makes it, or another thread that began before.
    pub(super) fn get(
        &self,
        make: impl FnOnce() -> Result<T, ContentsError>,
    ) -> Result<Arc<T>, Arc<ContentsError>> {
        let mut state = self.state();
        let mut waited = false;
        loop {
            match &*state {
                State::There(found) => return Ok(Arc::clone(found)),
                State::Failed(failure, since) if waited || since.elapsed() < LASTS => {
                    return Err(Arc::clone(failure));
                }
                State::BeingMade => {
                    waited = true;
                    state = self.changed.wait(state).expect("no holder of this lock panics");
                }
                State::Absent | State::Failed(..) => break,
            }
        }
        *state = State::BeingMade;
        drop(state);
        let _absent_again = OnPanic(|| self.set(State::Absent));
        match make() {
            Ok(made) => {
                let made = Arc::new(made);
                self.set(State::There(Arc::clone(&made)));
                Ok(made)
            }
            Err(failure) => {
                let failure = Arc::new(failure);
                self.set(State::Failed(Arc::clone(&failure), Instant::now()));
                Err(failure)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::monitor::Interrupted;

    fn failure() -> ContentsError {
        ContentsError::Interrupted(Interrupted)
    }

    #[test]
    fn it_is_made_once_for_all_that_want_it_at_once() {
        let (shared, made) = (Shared::<u32>::default(), AtomicUsize::new(0));
        let (begun, has_begun) = mpsc::channel();
        let (end, may_end) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let first = scope.spawn(|| {
                shared.get(move || {
                    begun.send(()).unwrap();
                    may_end.recv().unwrap();
                    Ok(7)
                })
            });
            has_begun.recv().unwrap();
            assert!(shared.at_hand().is_none());
            let more = || {
                shared.get(|| {
                    made.fetch_add(1, Ordering::Relaxed);
                    Ok(8)
                })
            };
            let others: Vec<_> = (0..3).map(|_| scope.spawn(more)).collect();
            end.send(()).unwrap();
            assert_eq!(*first.join().unwrap().unwrap(), 7);
            assert!(others.into_iter().all(|other| *other.join().unwrap().unwrap() == 7));
        });
        assert_eq!(made.into_inner(), 0);
        shared.forget();
        assert!(shared.at_hand().is_none());
        assert_eq!(*shared.get(|| Ok(9)).unwrap(), 9);
    }

    #[test]
    fn a_failure_or_a_panic_is_not_the_end() {
        let shared = Shared::<u32>::default();
        let first = shared.get(|| Err(failure())).unwrap_err();
        // Whoever asks at once gets the same one.
        let second = shared.get(|| Ok(1)).unwrap_err();
        assert!(Arc::ptr_eq(&first, &second));
        let other = Shared::<u32>::default();
        let making = || other.get(|| panic!("it cannot be made"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(making)).is_err());
        assert_eq!(*other.get(|| Ok(2)).unwrap(), 2);
    }
}
