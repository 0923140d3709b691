//! One request and its response, as the connection and the instance see it together.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use nexus_types::Instant;
use wasmtime_wasi_http::WasiBody;

/// What an app answers, or why it does not.
pub(super) type Answer = Result<http::Response<WasiBody>, Failure>;

/// Why a request gets no answer of its app's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// The app broke a rule of WebAssembly, of an interface, or of its limits.
    Trap,
    /// It returned without an answer.
    NoAnswer,
    /// It answered with an error of `wasi:http`.
    Error(String),
    /// Its answer is none of HTTP's.
    BadAnswer(String),
    /// No instance could be started.
    NoInstance,
    /// Its time was over.
    Deadline,
    /// The time was over before an instance was free.
    NoTurn,
    /// The request's body is larger than it may be.
    TooLarge,
}

impl Failure {
    /// What the client is told.
    pub(super) const fn status(&self) -> http::StatusCode {
        match self {
            Self::Trap | Self::NoAnswer | Self::Error(_) | Self::BadAnswer(_) => {
                http::StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::NoInstance | Self::NoTurn => http::StatusCode::SERVICE_UNAVAILABLE,
            Self::Deadline => http::StatusCode::GATEWAY_TIMEOUT,
            Self::TooLarge => http::StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// The call it is of has ended, and the instance can go on.
    pub(super) const fn is_of_one_call(&self) -> bool {
        matches!(self, Self::NoAnswer | Self::Error(_) | Self::BadAnswer(_))
    }

    /// The word of the access log.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::NoAnswer => "no-answer",
            Self::Error(_) => "app-error",
            Self::BadAnswer(_) => "bad-answer",
            Self::NoInstance => "no-instance",
            Self::Deadline => "deadline",
            Self::NoTurn => "no-turn",
            Self::TooLarge => "body-too-large",
        }
    }
}

/// See the module.
pub(super) struct Exchange {
    /// When its time is over.
    pub(super) deadline: Instant,
    /// An instance took it up.
    pub(super) taken: Cell<bool>,
    /// The connection has no more use for it.
    gone: Cell<bool>,
    /// It is gone because all was sent.
    complete: Cell<bool>,
    /// Why the instance that took it up did not answer it.
    pub(super) failure: RefCell<Option<Failure>>,
    /// The instance.
    waker: RefCell<Option<Waker>>,
}

impl Exchange {
    pub(super) fn new(deadline: Instant) -> Rc<Self> {
        Rc::new(Self {
            deadline,
            taken: Cell::new(false),
            gone: Cell::new(false),
            complete: Cell::new(false),
            failure: RefCell::new(None),
            waker: RefCell::new(None),
        })
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.get()
    }

    /// Its client went away, or its time was over, before all was sent.
    pub(super) fn is_abandoned(&self) -> bool {
        self.gone.get() && !self.complete.get()
    }

    /// Who is to know when it is gone.
    pub(super) fn watch(&self, waker: &Waker) {
        let mut watching = self.waker.borrow_mut();
        match &mut *watching {
            Some(watching) => watching.clone_from(waker),
            None => *watching = Some(waker.clone()),
        }
    }
}

/// The connection's hold on an exchange: dropped, it is gone.
pub(super) struct Hold(Rc<Exchange>);

impl Hold {
    pub(super) fn new(exchange: Rc<Exchange>) -> Self {
        Self(exchange)
    }

    pub(super) fn exchange(&self) -> &Rc<Exchange> {
        &self.0
    }

    /// All was sent.
    pub(super) fn complete(&self) {
        self.0.complete.set(true);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.gone.set(true);
        let waker = self.0.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
