//! File calls beside the event loop. A path may lead to a file system that does not answer, and a client may have named
//! it: then a thread waits that may, and every connection of the event loop goes on.
//!
//! ```text
//!  asker ──▶ a free thread of its kind ──▶ work ──▶ result ──▶ asker; nobody asks any more: dropped by the thread
//! ```
//!
//! A call that hangs cannot be taken back, and its asker may be long gone. So the threads of each kind are counted, for
//! all connections together: whoever comes when all of them hang waits, and asks with a limit of time. One connection has
//! a share of those for its clients' paths, and waits for its own calls first: what it makes hang holds up nobody else.

use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

/// For paths that clients name: their sockets, and their files over SFTP. The runtime has 512 threads for all kinds of
/// such work together, and for names that are looked up: some are left when all of these hang.
static CLIENTS_PATHS: Semaphore = Semaphore::const_new(320);

/// How many of those one connection may hold. A disk and a network file system are busy with fewer; and it takes 40
/// connections to hold all.
pub(crate) const CLIENTS_SHARE: usize = 8;

/// For this process's own directories, which nobody shall hold up by naming others.
pub(crate) static OWN_PATHS: Threads = Threads::all_of(&OWN_THREADS);
static OWN_THREADS: Semaphore = Semaphore::const_new(32);

/// For the key files of users whom strangers name: a home that does not answer must not hold what others log in by.
pub(crate) static KEY_FILES: Threads = Threads::all_of(&KEY_THREADS);
static KEY_THREADS: Semaphore = Semaphore::const_new(MAX_KEY_FILES);

/// How many key files are read at a time.
pub(crate) const MAX_KEY_FILES: usize = 64;

/// Which threads do the work, and how many of them the asker may hold at once. Clones are the same asker.
#[derive(Clone, Debug)]
pub(crate) struct Threads {
    all: &'static Semaphore,
    share: Option<Arc<Semaphore>>,
}

/// The right to one thread.
pub(crate) struct Thread {
    _all: SemaphorePermit<'static>,
    _share: Option<OwnedSemaphorePermit>,
}

impl Threads {
    /// For the paths of one more client.
    pub(crate) fn for_a_client() -> Self {
        Self::shared(&CLIENTS_PATHS, CLIENTS_SHARE)
    }

    /// As many as there are.
    pub(crate) const fn all_of(all: &'static Semaphore) -> Self {
        Self { all, share: None }
    }

    fn shared(all: &'static Semaphore, share: usize) -> Self {
        Self {
            all,
            share: Some(Arc::new(Semaphore::new(share))),
        }
    }

    /// Waits for a thread, in the order of asking.
    pub(crate) async fn thread(&self) -> io::Result<Thread> {
        // Its own first: who waits for that holds nothing that others wait for.
        let share = match &self.share {
            Some(share) => Some(
                Arc::clone(share)
                    .acquire_owned()
                    .await
                    .map_err(io::Error::other)?,
            ),
            None => None,
        };
        Ok(Thread {
            _share: share,
            _all: self.all.acquire().await.map_err(io::Error::other)?,
        })
    }

    /// A thread that is free now: none as long as anybody waits for one.
    pub(crate) fn free_thread(&self) -> Option<Thread> {
        let share = match &self.share {
            Some(share) => Some(Arc::clone(share).try_acquire_owned().ok()?),
            None => None,
        };
        Some(Thread {
            _share: share,
            _all: self.all.try_acquire().ok()?,
        })
    }
}

impl Thread {
    /// Does `work` on the thread, which is free again when that is done, whether anybody waits for it or not.
    pub(crate) fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        tokio::task::spawn_blocking(move || {
            let _thread = self;
            work()
        })
    }
}

/// Does `work` on one of `threads`. Dropped, the work is done all the same once it has begun, and what came of it is
/// dropped on its thread.
///
/// # Errors
/// The work's; it panicked; the runtime is ending.
pub(crate) async fn aside<T: Send + 'static>(
    threads: &Threads,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = threads.thread().await?.run(work);
    done.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Something whose end is a file call: wherever it is dropped, it ends on one of its threads.
#[derive(Debug)]
pub(crate) struct EndsAside<T: Send + 'static> {
    threads: Threads,
    thing: Option<T>,
}

impl<T: Send + 'static> EndsAside<T> {
    pub(crate) fn new(threads: &Threads, thing: T) -> Self {
        Self {
            threads: threads.clone(),
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
        let (threads, thing) = (self.threads.clone(), self.thing.take()?);
        // Where there is no event loop, nobody is held up. One that is ending drops what it is given, here and now.
        let runtime = Handle::try_current().ok()?;
        Some(runtime.spawn(async move {
            let ended = aside(&threads, move || {
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

    /// A call that hangs until its other half is dropped; it has begun.
    async fn hang(threads: &Threads) -> (JoinHandle<io::Result<()>>, mpsc::Sender<()>) {
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (end, ends) = mpsc::channel::<()>();
        let threads = threads.clone();
        let work = tokio::spawn(async move {
            let work = move || {
                begun.send(thread::current().id()).unwrap();
                let _ = ends.recv();
                Ok(())
            };
            aside(&threads, work).await
        });
        assert_ne!(begins.await.unwrap(), thread::current().id());
        (work, end)
    }

    async fn give_way() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn work_that_hangs_holds_up_nobody_else_and_no_more_threads_than_there_are() {
        static TWO: Semaphore = Semaphore::const_new(2);
        let two = Threads::all_of(&TWO);
        let hanging = [hang(&two).await, hang(&two).await];
        let mut third = tokio::spawn(async move { aside(&two, || Ok("done")).await });
        // This thread is free meanwhile, and the third waits, whatever becomes of those who asked before.
        hanging.iter().for_each(|(work, _)| work.abort());
        give_way().await;
        assert_eq!(TWO.available_permits(), 0);
        assert!(!third.is_finished());
        drop(hanging);
        assert_eq!((&mut third).await.unwrap().unwrap(), "done");
    }

    #[tokio::test]
    async fn one_asker_holds_its_share_and_waits_in_order_while_others_go_on() {
        static THREE: Semaphore = Semaphore::const_new(3);
        let (one, other) = (Threads::shared(&THREE, 2), Threads::shared(&THREE, 2));
        let hanging = [hang(&one).await, hang(&one).await];
        let (done, order) = mpsc::channel();
        for turn in 0..4 {
            let (one, done) = (one.clone(), done.clone());
            tokio::spawn(async move {
                let thread = one.thread().await.unwrap();
                thread.run(move || done.send(turn).unwrap()).await.unwrap();
            });
            give_way().await;
        }
        // All of its share hangs, and four more wait: there is a thread for the other, again and again.
        for _ in 0..3 {
            assert_eq!(aside(&other, || Ok("done")).await.unwrap(), "done");
        }
        let at_once = hang(&other).await;
        assert_eq!(THREE.available_permits(), 0);
        assert!(order.try_recv().is_err());
        // One after the other, by the one thread that it gets back.
        let [first, _second] = hanging;
        drop(first);
        let order = tokio::task::spawn_blocking(move || order.iter().take(4).collect::<Vec<_>>());
        assert_eq!(order.await.unwrap(), [0, 1, 2, 3]);
        drop(at_once);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_dropped_by_its_thread() {
        let own = thread::current().id();
        let (thing, dropped) = teller();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (go_on, waits) = mpsc::channel::<()>();
        let asker = tokio::spawn(async move {
            let work = move || {
                begun.send(()).unwrap();
                let _ = waits.recv();
                Ok(thing)
            };
            aside(&OWN_PATHS, work).await
        });
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
