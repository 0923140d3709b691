//! One instance, from its start to its end, and the requests it takes between.
//!
//! An instance has no way to stop one call and not the others (wasmtime has none yet), so a request that is abandoned
//! closes its instance: it takes no more, and ends when the others it has are done or their time is over.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::oneshot;
use futures::stream::{FuturesUnordered, Stream as _};
use nexus_caps::{Shard, Sleep};
use nexus_types::{Instant, limits};
use wasmtime::component::Accessor;
use wasmtime::{Result, Store};
use wasmtime_wasi_http::handler::Proxy;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{WasiBody, WasiHttpView as _, p2, p3};

use super::exchange::{Answer, Exchange, Failure};
use super::pool::{Job, Number, Pool};
use crate::runtime::instance::{describe, hint};
use crate::runtime::state::AppState;

/// What the calls inside the store and the watch outside of it share.
#[derive(Default)]
struct Shared {
    /// What it took up and is not done with.
    exchanges: RefCell<Vec<Rc<Exchange>>>,
    /// How many it took up at all.
    taken: Cell<u32>,
    /// It may take one now.
    may_take: Cell<bool>,
    /// It could take one.
    has_room: Cell<bool>,
    /// Nothing of it is under way.
    idle: Cell<bool>,
    /// One was abandoned: it takes no more.
    closing: Cell<bool>,
}

impl Shared {
    fn take_up(&self, exchange: &Rc<Exchange>) {
        exchange.taken.set(true);
        self.taken.set(self.taken.get() + 1);
        self.idle.set(false);
        self.exchanges.borrow_mut().push(exchange.clone());
    }

    /// Requests whose connections still want something of it.
    fn live(&self) -> usize {
        self.exchanges.borrow().len()
    }

    /// Forgets what is gone.
    fn settle(&self, cx: &Context<'_>) {
        self.exchanges.borrow_mut().retain(|exchange| {
            if exchange.is_abandoned() {
                self.closing.set(true);
            }
            exchange.watch(cx.waker());
            !exchange.is_gone()
        });
    }
}

/// Why an instance ended.
enum End {
    /// It served as many as it may, or was told to.
    Done,
    /// It did something wrong.
    Trap(wasmtime::Error),
    /// Nobody waits for what it is doing, or its time is over.
    Cut,
}

/// Runs an instance. It stands called: somebody waits.
pub(super) async fn run(pool: Rc<Pool>, number: Number) {
    pool.begin_turn(number);
    if let Some(first) = pool.take() {
        serve(&pool, number, first).await;
    }
    pool.ended();
}

async fn serve(pool: &Rc<Pool>, number: Number, first: Job) {
    let shared = Shared::default();
    shared.take_up(&first.exchange);
    let mut store = match pool.app().store() {
        Ok(store) => store,
        Err(why) => {
            pool.tell(&Failure::NoInstance, &why);
            // Nobody else answers it.
            let _ = first.answer.send(Err(Failure::NoInstance));
            return;
        }
    };
    let mut cpu = Duration::ZERO;
    let end = {
        let guest = pin!(instance(pool, &shared, &mut store, first));
        let watch = Watch {
            pool,
            number,
            shared: &shared,
            timer: None,
            busy_until: Instant::ZERO,
            idle_since: None,
            waits: false,
        };
        watch.over(guest, &mut cpu).await
    };
    if let End::Trap(error) = end {
        let mut text = describe(&error);
        if let Some(hint) = hint(&store.data().ledger) {
            text.push_str(&format!("\n  {hint}"));
        }
        let failure = if error.is::<wasmtime::PoolConcurrencyLimitError>() {
            Failure::NoInstance
        } else {
            Failure::Trap
        };
        for exchange in shared.exchanges.borrow().iter() {
            exchange.failure.borrow_mut().get_or_insert(failure.clone());
        }
        pool.tell(&failure, &text);
    }
    pool.app().ended(cpu, &store);
}

/// What looks at an instance from outside: inside, while the app computes or waits in a plain call, nothing is polled.
struct Watch<'a> {
    pool: &'a Rc<Pool>,
    number: Number,
    shared: &'a Shared,
    timer: Option<(Instant, Pin<Box<Sleep>>)>,
    /// When the time of all it ever took up is over.
    busy_until: Instant,
    idle_since: Option<Instant>,
    /// It stands among those that wait for a request.
    waits: bool,
}

impl Watch<'_> {
    async fn over(
        mut self,
        mut guest: Pin<&mut impl Future<Output = Result<()>>>,
        cpu: &mut Duration,
    ) -> End {
        let shard = self.pool.app().shard().clone();
        let end = poll_fn(|cx| {
            if std::mem::take(&mut self.waits) {
                self.pool.begin_turn(self.number);
            }
            loop {
                // First, or what is gone would still take up room.
                self.settle(cx);
                let taken = self.shared.taken.get();
                self.shared.may_take.set(true);
                let begun = shard.latest();
                let polled = guest.as_mut().poll(cx);
                *cpu += shard.now().saturating_since(begun);
                match polled {
                    Poll::Ready(Ok(())) => return Poll::Ready(End::Done),
                    Poll::Ready(Err(error)) => return Poll::Ready(End::Trap(error)),
                    Poll::Pending => {}
                }
                if self.is_over(&shard, cx) {
                    return Poll::Ready(End::Cut);
                }
                let can_take = self.shared.has_room.get() && !self.shared.closing.get();
                if !self.pool.has_job() {
                    if can_take {
                        self.pool.wait(self.number, cx.waker());
                        self.waits = true;
                    }
                    return Poll::Pending;
                }
                // One that was offered a request and took none is busy with itself.
                if !can_take || (self.shared.taken.get() == taken && self.shared.may_take.get()) {
                    self.pool.dispatch();
                    return Poll::Pending;
                }
            }
        })
        .await;
        if self.waits {
            self.pool.begin_turn(self.number);
        }
        end
    }

    fn settle(&mut self, cx: &Context<'_>) {
        for exchange in self.shared.exchanges.borrow().iter() {
            self.busy_until = self.busy_until.max(exchange.deadline);
        }
        self.shared.settle(cx);
    }

    /// Whether nobody waits for it any more, or nobody may.
    fn is_over(&mut self, shard: &Shard, cx: &mut Context<'_>) -> bool {
        self.settle(cx);
        if self.shared.live() > 0 {
            // Their connections watch the time.
            self.timer = None;
            self.idle_since = None;
            return false;
        }
        if self.shared.closing.get() {
            return true;
        }
        let end = if self.shared.idle.get() {
            let since = *self.idle_since.get_or_insert(shard.latest());
            since + Duration::from_micros(limits::SERVE_IDLE_MICROS)
        } else {
            // What it does after its answers.
            self.idle_since = None;
            self.busy_until
        };
        let set = self.timer.as_ref().is_some_and(|(set, _)| *set == end);
        if !set {
            self.timer = Some((end, Box::pin(shard.sleep_until(end))));
        }
        match &mut self.timer {
            Some((_, sleep)) => sleep.as_mut().poll(cx).is_ready(),
            None => false,
        }
    }
}

/// Starts the instance and serves with it until it may take no more and all it does is done.
async fn instance(
    pool: &Pool,
    shared: &Shared,
    store: &mut Store<AppState>,
    first: Job,
) -> Result<()> {
    let proxy = pool.app().instantiate(store).await?;
    let proxy = &proxy;
    let served = store.run_concurrent(async move |accessor| {
        let mut first = Some(first);
        let mut calls = pin!(FuturesUnordered::new());
        let function = match proxy {
            Proxy::P2(guest) => *guest.wasi_http_incoming_handler().func_handle().func(),
            Proxy::P3(guest) => *guest.wasi_http_handler().func_handle().func(),
        };
        let settings = pool.settings();
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(Some(Err(error))) = calls.as_mut().poll_next(cx) {
                    return Poll::Ready(Err(error));
                }
                let may_ever = shared.taken.get() < settings.reuse && !shared.closing.get();
                let ready = accessor.poll_ready_for_concurrent_call(function, cx);
                let at_once = calls.len().max(shared.live());
                shared
                    .has_room
                    .set(may_ever && ready.is_ready() && at_once < settings.concurrent as usize);
                let job = first.take().or_else(|| {
                    let job = (shared.has_room.get() && shared.may_take.get())
                        .then(|| pool.take())
                        .flatten()?;
                    shared.take_up(&job.exchange);
                    Some(job)
                });
                if let Some(job) = job {
                    shared.may_take.set(false);
                    calls.push(call(accessor, proxy, job));
                    continue;
                }
                if !calls.is_empty() || accessor.poll_no_interesting_tasks(cx).is_pending() {
                    return Poll::Pending;
                }
                let streams = matches!(proxy, Proxy::P3(_)) && shared.live() > 0;
                if !may_ever && !streams {
                    return Poll::Ready(Ok(()));
                }
                shared.idle.set(true);
                return Poll::Pending;
            }
        })
        .await
    });
    served.await?
}

async fn call(accessor: &Accessor<AppState>, proxy: &Proxy, job: Job) -> Result<()> {
    match proxy {
        Proxy::P2(guest) => call_p2(accessor, guest, job.request, job.answer).await,
        Proxy::P3(guest) => call_p3(accessor, guest, job.request, job.answer).await,
    }
}

async fn call_p2(
    accessor: &Accessor<AppState>,
    guest: &p2::bindings::Proxy,
    request: http::Request<WasiBody>,
    answer: oneshot::Sender<Answer>,
) -> Result<()> {
    // Taken back when the app returns: it may keep the parameter for ever.
    let answer = Arc::new(Mutex::new(Some(answer)));
    let set = answer.clone();
    let parameters = accessor.with(|mut store| -> Result<_> {
        let mut view = store.get().http();
        let scheme = match request.uri().scheme() {
            Some(scheme) if *scheme == http::uri::Scheme::HTTPS => Scheme::Https,
            _ => Scheme::Http,
        };
        let request = view.new_incoming_request(scheme, request)?;
        let parameter = view.new_response_outparam_from_callback(move |answered| {
            let answer = set.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(answer) = answer {
                // The client may be gone.
                let _ = answer.send(answered.map_err(|code| Failure::Error(code.to_string())));
            }
        })?;
        Ok((request, parameter))
    })?;
    let handle = guest.wasi_http_incoming_handler().func_handle();
    handle.call_concurrent(accessor, parameters).await?;
    let unanswered = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(answer) = unanswered {
        let _ = answer.send(Err(Failure::NoAnswer));
    }
    Ok(())
}

/// How a request's body was received, for the app.
type Told =
    Pin<Box<dyn Future<Output = std::result::Result<(), wasmtime_wasi_http::Error>> + Send>>;

async fn call_p3(
    accessor: &Accessor<AppState>,
    guest: &p3::bindings::Service,
    request: http::Request<WasiBody>,
    answer: oneshot::Sender<Answer>,
) -> Result<()> {
    let (request, sent) = accessor.with(|mut store| -> Result<_> {
        let view = store.get().http();
        let (request, sent) = p3::Request::from_http(view.hooks, request);
        // Boxed, its type does not name the borrow that it does not keep.
        let sent: Told = Box::pin(sent);
        Ok((view.table.push(request)?, sent))
    })?;
    let handle = guest.wasi_http_handler().func_handle();
    let (answered,) = handle.call_concurrent(accessor, (request,)).await?;
    let answered = match answered {
        Ok(response) => accessor.with(|mut store| {
            let response = store.get().http().table.delete(response)?;
            let response = response.into_http_with_getter(&mut store, sent, AppState::http);
            Result::<_>::Ok(response.map_err(|error| Failure::BadAnswer(format!("{error:#}"))))
        })?,
        Err(code) => Err(Failure::Error(code.to_string())),
    };
    // The client may be gone.
    let _ = answer.send(answered);
    Ok(())
}
