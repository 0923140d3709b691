//! Several things at once, on the app's one thread.

mod set;

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

#[cfg(all(feature = "sim", not(target_family = "wasm")))]
pub(crate) use set::forget_spawned;
pub(crate) use set::with_spawned;

/// Runs `future` beside the current one until it is done or the app ends.
///
/// Nothing limits how many are started: bound it where the outside decides, as
/// [`TcpListener::serve`](crate::svc::net::TcpListener::serve) does.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    crate::host::process::check_spawn();
    set::spawn(Box::pin(future));
}

/// Waits for both, at the same time.
pub async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut a_done, mut b_done) = (None, None);
    core::future::poll_fn(move |context| {
        poll_into(a.as_mut(), &mut a_done, context);
        poll_into(b.as_mut(), &mut b_done, context);
        match (a_done.take(), b_done.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (a_done, b_done) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

fn poll_into<F: Future>(
    future: Pin<&mut F>,
    done: &mut Option<F::Output>,
    context: &mut Context<'_>,
) {
    if done.is_none()
        && let Poll::Ready(output) = future.poll(context)
    {
        *done = Some(output);
    }
}

/// The one that was done first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Either<A, B> {
    /// The first future was.
    First(A),
    /// The second future was.
    Second(B),
}

/// Waits for whichever is done first (the first of the two if both are) and drops the other.
///
/// Dropping a call that is under way cancels it, and a read or write that is cancelled may have moved bytes
/// already: do not go on with that connection in that direction.
pub async fn race<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    core::future::poll_fn(move |context| {
        if let Poll::Ready(output) = a.as_mut().poll(context) {
            return Poll::Ready(Either::First(output));
        }
        b.as_mut().poll(context).map(Either::Second)
    })
    .await
}

/// Lets the app's other tasks, and the host, go on. For long computations between waits.
pub async fn yield_now() {
    wit_bindgen::yield_async().await;
}

#[cfg(test)]
mod tests {
    use core::future::{pending, ready};
    use core::task::Waker;

    use super::*;

    fn now<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn join_waits_for_both() {
        assert_eq!(now(join(ready(1), ready("b"))), Poll::Ready((1, "b")));
        assert_eq!(now(join(ready(1), pending::<()>())), Poll::Pending);
        assert_eq!(now(join(pending::<()>(), ready(1))), Poll::Pending);
    }

    #[test]
    fn race_takes_the_first() {
        assert_eq!(
            now(race(ready(1), pending::<()>())),
            Poll::Ready(Either::First(1))
        );
        assert_eq!(
            now(race(pending::<()>(), ready(2))),
            Poll::Ready(Either::Second(2))
        );
        assert_eq!(now(race(ready(1), ready(2))), Poll::Ready(Either::First(1)));
    }
}
