//! An answer that costs something, and is remembered for a time.
//!
//! Invariant: one thread asks at a time, also when whoever wanted to know is gone: the others wait without a thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::app::on_thread;
use crate::refusal::Refusal;

/// How long a failure is remembered.
const FAILURE: Duration = Duration::from_secs(1);

/// What was answered, and when.
type Answer<T> = Option<(Instant, Result<T, Refusal>)>;

/// The answer to one question.
pub(crate) struct Remembered<T> {
    time: Duration,
    answer: Arc<Mutex<Answer<T>>>,
}

impl<T: Clone + Send + 'static> Remembered<T> {
    /// One that is remembered for this time.
    pub(crate) fn new(time: Duration) -> Self {
        Self { time, answer: Arc::default() }
    }

    /// The answer; `ask`, which may block, is asked if it is too old.
    pub(crate) async fn get(
        &self,
        ask: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let mut answer = Arc::clone(&self.answer).lock_owned().await;
        if let Some((at, known)) = &*answer
            && at.elapsed() < if known.is_ok() { self.time } else { FAILURE }
        {
            return known.clone();
        }
        on_thread(move || {
            let found = ask();
            *answer = Some((Instant::now(), found.clone()));
            found
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Remembered;

    #[test]
    fn a_question_is_asked_once_in_its_time() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let hour = Remembered::new(Duration::from_secs(3600));
        let none = Remembered::new(Duration::ZERO);
        runtime.block_on(async {
            assert_eq!(hour.get(|| Ok(1)).await.unwrap(), 1);
            assert_eq!(hour.get(|| Ok(2)).await.unwrap(), 1);
            assert_eq!(none.get(|| Ok(1)).await.unwrap(), 1);
            assert_eq!(none.get(|| Ok(2)).await.unwrap(), 2);
        });
    }

    /// A client that asks and goes away starts no second thread.
    #[test]
    fn nobody_asks_while_another_thread_does() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let remembered = Remembered::new(Duration::from_secs(3600));
        let (begin, begun) = tokio::sync::oneshot::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        runtime.block_on(async {
            let asked = remembered.get(move || {
                begin.send(()).unwrap();
                // Until the other end is dropped.
                _ = ended.recv();
                Ok(1)
            });
            tokio::select! {
                _ = asked => panic!("it has not ended"),
                begun = begun => begun.unwrap(),
            }
            assert!(remembered.answer.try_lock().is_err());
            drop(end);
            assert_eq!(remembered.get(|| Ok(2)).await.unwrap(), 1);
        });
    }
}
