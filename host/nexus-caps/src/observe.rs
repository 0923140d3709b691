//! Who watches host calls: told when one begins, when it is at work, and how it ended.
//!
//! One [`Call`] is one act of an app: it connects, looks a name up, listens, accepts, binds. Data calls (`read`,
//! `write`, a datagram) are not watched: what they moved is counted on the node, so that watching costs them nothing.
//! Without an observer a call pays for one load of an atomic.

use std::future::{Future, poll_fn};
use std::pin::pin;

use nexus_types::{ErrorCode, InstanceId};

use crate::ctx::NetCtx;
use crate::error::Failure;

/// A function of an interface that is an act.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Call {
    /// `nexus:net/tcp-connect.connect`
    TcpConnect,
    /// `nexus:net/tcp-connect.resolve`
    TcpResolve,
    /// `nexus:net/tcp-listen.listen`
    TcpListen,
    /// `nexus:net/types.tcp-listener.accept`
    TcpAccept,
    /// `nexus:net/udp-send.connect`
    UdpConnect,
    /// `nexus:net/udp-send.open`
    UdpOpen,
    /// `nexus:net/udp-send.resolve`
    UdpResolve,
    /// `nexus:net/udp-bind.bind`
    UdpBind,
}

impl Call {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::TcpConnect,
        Self::TcpResolve,
        Self::TcpListen,
        Self::TcpAccept,
        Self::UdpConnect,
        Self::UdpOpen,
        Self::UdpResolve,
        Self::UdpBind,
    ];

    /// Interface and function, as the WIT has them.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TcpConnect => "nexus:net/tcp-connect.connect",
            Self::TcpResolve => "nexus:net/tcp-connect.resolve",
            Self::TcpListen => "nexus:net/tcp-listen.listen",
            Self::TcpAccept => "nexus:net/types.tcp-listener.accept",
            Self::UdpConnect => "nexus:net/udp-send.connect",
            Self::UdpOpen => "nexus:net/udp-send.open",
            Self::UdpResolve => "nexus:net/udp-send.resolve",
            Self::UdpBind => "nexus:net/udp-bind.bind",
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallEnd {
    /// It did what was asked.
    Done,
    /// The app was told why not.
    Failed(ErrorCode),
    /// The app, or its end, took the call back.
    Cancelled,
    /// The app broke a rule of the component model and is ended.
    Trap,
}

/// Watches the calls of a shard. It is called on the shard's thread, in the middle of a guest's call: it keeps what
/// it needs and returns, and waits for nothing.
pub trait Observer: Send + Sync {
    /// A call begins; the number it is known by from now on.
    fn begin(&self, instance: InstanceId, call: Call) -> u64;

    /// What is decided from now on is decided for this call; none: for none.
    fn at_work(&self, call: Option<u64>);

    /// A call is over. Its number is not used again.
    fn end(&self, call: u64, end: CallEnd);
}

/// A call that is watched: ends as cancelled when it is dropped before it has ended.
struct Watched<'a> {
    observer: &'a dyn Observer,
    call: u64,
    end: CallEnd,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.observer.end(self.call, self.end);
    }
}

impl NetCtx {
    /// Carries out an act of the caller, watched if anybody watches. What the gate decides while `act` is polled
    /// is decided for this call.
    pub(crate) async fn watch<R>(
        &self,
        call: Call,
        act: impl Future<Output = Result<R, Failure>>,
    ) -> Result<R, Failure> {
        let Some(observer) = self.shard.observer() else {
            return act.await;
        };
        let mut watched = Watched {
            observer,
            call: observer.begin(self.instance, call),
            end: CallEnd::Cancelled,
        };
        let mut act = pin!(act);
        let result = poll_fn(|cx| {
            observer.at_work(Some(watched.call));
            let polled = act.as_mut().poll(cx);
            observer.at_work(None);
            polled
        })
        .await;
        watched.end = match &result {
            Ok(_) => CallEnd::Done,
            Err(Failure::Error(error)) => CallEnd::Failed(error.code),
            Err(Failure::Trap(_)) => CallEnd::Trap,
        };
        result
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll, Waker};

    use nexus_node::{Mesh, NetError};
    use nexus_types::{Instant, NodeId};

    use super::*;
    use crate::{Clock, Shard};

    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> Instant {
            Instant::ZERO
        }
    }

    #[derive(Default)]
    struct Log(Arc<Mutex<Vec<String>>>);

    impl Log {
        fn add(&self, line: String) {
            self.0.lock().unwrap().push(line);
        }
    }

    impl Observer for Log {
        fn begin(&self, instance: InstanceId, call: Call) -> u64 {
            self.add(format!("{instance} {}", call.as_str()));
            7
        }

        fn at_work(&self, call: Option<u64>) {
            self.add(format!("{call:?}"));
        }

        fn end(&self, call: u64, end: CallEnd) {
            self.add(format!("{call} {end:?}"));
        }
    }

    fn caller(log: Option<Log>) -> NetCtx {
        let shard = Shard::new(Mesh::new(), Box::new(Stopped));
        if let Some(log) = log {
            shard.set_observer(Box::new(log));
        }
        NetCtx {
            shard,
            node: NodeId(0),
            instance: InstanceId(1),
        }
    }

    fn poll<R>(future: impl Future<Output = R>) -> Poll<R> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Goal: how a call ends is told once, whichever way it does. Method: calls that succeed, fail, and are dropped
    /// while they wait.
    #[test]
    fn each_end_is_told_once() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let ctx = caller(Some(Log(told.clone())));
        let take = || std::mem::take(&mut *told.lock().unwrap());
        let begun = "instance-1 nexus:net/udp-bind.bind";

        let done = poll(ctx.watch(Call::UdpBind, ready(Ok(3))));
        assert!(matches!(done, Poll::Ready(Ok(3))));
        assert_eq!(take(), [begun, "Some(7)", "None", "7 Done"]);

        let failed = NetError::new(ErrorCode::Denied, "no");
        let _ = poll(ctx.watch::<()>(Call::UdpBind, ready(Err(failed.into()))));
        assert_eq!(take(), [begun, "Some(7)", "None", "7 Failed(Denied)"]);

        assert!(poll(ctx.watch::<()>(Call::UdpBind, pending())).is_pending());
        assert_eq!(take(), [begun, "Some(7)", "None", "7 Cancelled"]);
    }

    /// Goal: nobody has to watch. Method: the same call without an observer.
    #[test]
    fn nobody_needs_to_watch() {
        let ctx = caller(None);
        assert!(poll(ctx.watch(Call::UdpOpen, ready(Ok(())))).is_ready());
    }
}
