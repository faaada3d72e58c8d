//! One piece of work for each number, on several threads.
//!
//! Invariant: all threads have ended when it returns, and the first error is the one that is returned.

/// Does `work` for each number below `count`, on `jobs` threads. Stops early at the first error.
pub(crate) fn in_parallel<E: Send>(
    jobs: usize,
    count: usize,
    work: impl Fn(usize) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let (sender, receiver) = crossbeam_channel::bounded(count.max(1));
    for index in 0..count {
        sender.send(index).expect("the receiver is right here");
    }
    drop(sender);
    let (failed, failures) = crossbeam_channel::bounded(1);
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, count.max(1)) {
            scope.spawn(|| {
                for index in &receiver {
                    if !failed.is_empty() {
                        break;
                    }
                    if let Err(error) = work(index) {
                        // Only the first error is returned.
                        let _ = failed.try_send(error);
                    }
                }
            });
        }
    });
    failures.try_recv().map_or(Ok(()), Err)
}
