//! File calls beside the event loop. A path may lead to a file system that does not answer, and a client may have named
//! it: then a thread waits that may, and every connection of the event loop goes on.
//!
//! ```text
//!  asker ──▶ a free thread of its kind ──▶ work ──▶ result ──▶ asker; nobody asks any more: dropped by the thread
//! ```
//!
//! A call that hangs cannot be taken back, and its asker may be long gone. So the threads of each kind are counted, for
//! all connections together: whoever comes when all of them hang waits, and asks with a limit of time.

use std::io;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// For paths that clients name. The runtime has some 500 threads for such work, files' among them: most are left.
pub(crate) static CLIENTS_PATHS: Semaphore = Semaphore::const_new(64);
/// For this process's own directories, which nobody shall hold up by naming others.
pub(crate) static OWN_PATHS: Semaphore = Semaphore::const_new(32);

/// Does `work` on one of `threads`. Dropped, the work is done all the same once it has begun, and what came of it is
/// dropped on its thread.
///
/// # Errors
/// The work's; it panicked; the runtime is ending.
pub(crate) async fn aside<T: Send + 'static>(
    threads: &'static Semaphore,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let thread = threads.acquire().await.map_err(io::Error::other)?;
    let done = tokio::task::spawn_blocking(move || {
        let _thread = thread;
        work()
    });
    done.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Something whose end is a file call: wherever it is dropped, it ends on one of its threads.
#[derive(Debug)]
pub(crate) struct EndsAside<T: Send + 'static> {
    threads: &'static Semaphore,
    thing: Option<T>,
}

impl<T: Send + 'static> EndsAside<T> {
    pub(crate) fn new(threads: &'static Semaphore, thing: T) -> Self {
        Self {
            threads,
            thing: Some(thing),
        }
    }

    /// Ends it, and returns when it is over. Dropped, this leaves it to its thread.
    pub(crate) async fn end(mut self) {
        if let Some(ending) = self.begin_end()
            && let Err(error) = ending.await
        {
            tracing::error!(%error, "something did not end as it should");
        }
    }

    fn begin_end(&mut self) -> Option<JoinHandle<()>> {
        let (threads, thing) = (self.threads, self.thing.take()?);
        // Where there is no event loop, nobody is held up. One that is ending drops what it is given, here and now.
        let runtime = Handle::try_current().ok()?;
        Some(runtime.spawn(async move {
            let ended = aside(threads, move || {
                drop(thing);
                Ok(())
            });
            let _ended_or_dropped = ended.await;
        }))
    }
}

impl<T: Send + 'static> Drop for EndsAside<T> {
    fn drop(&mut self) {
        drop(self.begin_end());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread::{self, ThreadId};

    use super::*;

    /// Tells on which thread it was dropped.
    struct Tells(mpsc::Sender<ThreadId>);

    impl Drop for Tells {
        fn drop(&mut self) {
            let _ = self.0.send(thread::current().id());
        }
    }

    fn teller() -> (Tells, mpsc::Receiver<ThreadId>) {
        let (teller, told) = mpsc::channel();
        (Tells(teller), told)
    }

    async fn told(by: mpsc::Receiver<ThreadId>) -> ThreadId {
        tokio::task::spawn_blocking(move || by.recv())
            .await
            .unwrap()
            .unwrap()
    }

    #[tokio::test]
    async fn work_that_hangs_holds_up_nobody_else_and_no_more_threads_than_there_are() {
        static TWO: Semaphore = Semaphore::const_new(2);
        let own = thread::current().id();
        let mut hanging = Vec::new();
        for _ in 0..2 {
            let (begun, begins) = tokio::sync::oneshot::channel();
            let (end, ends) = mpsc::channel::<()>();
            let work = tokio::spawn(aside(&TWO, move || {
                begun.send(thread::current().id()).unwrap();
                let _ = ends.recv();
                Ok(())
            }));
            assert_ne!(begins.await.unwrap(), own);
            hanging.push((work, end));
        }
        let mut third = tokio::spawn(aside(&TWO, || Ok("done")));
        // This thread is free meanwhile, and the third waits, whatever becomes of those who asked before.
        hanging.iter().for_each(|(work, _)| work.abort());
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(TWO.available_permits(), 0);
        assert!(!third.is_finished());
        drop(hanging);
        assert_eq!((&mut third).await.unwrap().unwrap(), "done");
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_dropped_by_its_thread() {
        let own = thread::current().id();
        let (thing, dropped) = teller();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (go_on, waits) = mpsc::channel::<()>();
        let asker = tokio::spawn(aside(&OWN_PATHS, move || {
            begun.send(()).unwrap();
            let _ = waits.recv();
            Ok(thing)
        }));
        begins.await.unwrap();
        asker.abort();
        assert!(asker.await.is_err());
        drop(go_on);
        assert_ne!(told(dropped).await, own);
    }

    #[tokio::test]
    async fn an_end_is_a_thread_s_own_wherever_it_comes() {
        let own = thread::current().id();
        let (thing, dropped) = teller();
        drop(EndsAside::new(&OWN_PATHS, thing));
        assert_ne!(told(dropped).await, own);
        let (thing, dropped) = teller();
        EndsAside::new(&OWN_PATHS, thing).end().await;
        // It is over by then.
        assert_ne!(dropped.try_recv().unwrap(), own);
    }

    #[test]
    fn with_the_event_loop_all_comes_to_its_end() {
        let (thing, dropped) = teller();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let kept = EndsAside::new(&OWN_PATHS, thing);
        runtime.block_on(async {
            drop(tokio::spawn(async move {
                drop((std::future::pending::<()>().await, kept))
            }))
        });
        runtime.shutdown_background();
        assert!(dropped.recv().is_ok());
        let (thing, dropped) = teller();
        drop(EndsAside::new(&OWN_PATHS, thing));
        assert!(
            dropped.try_recv().is_ok(),
            "without an event loop there is no other thread"
        );
    }
}
