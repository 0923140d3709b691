//! The access log: one line a request, on standard error. No header and no query is ever in it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{Method, StatusCode};
use nexus_types::Instant;
use serde_json::json;
use wasmtime_wasi_http::Error;

use super::Server;
use super::exchange::Failure;
use super::head::BadRequest;
use crate::observe::summary::duration;
use crate::runtime::shown;
use crate::runtime::stdio::Stdout;

/// Most of a path that is shown.
const PATH_CHARS: usize = 200;

/// Room for one line. One that might not fit what waits to be written is counted instead.
const LINE_BYTES: usize = 2 << 10;

/// How a line is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where lines go, if anywhere.
pub struct AccessLog {
    to: Option<(Format, Stdout)>,
    /// Which app it is, where there are several.
    app: Option<String>,
    dropped: Cell<u64>,
}

impl AccessLog {
    /// None: nowhere.
    pub fn new(to: Option<(Format, Stdout)>) -> Self {
        Self {
            to,
            app: None,
            dropped: Cell::new(0),
        }
    }

    /// With the app's name in each line.
    pub fn of_app(mut self, name: &str) -> Self {
        self.app = Some(name.to_owned());
        self
    }

    /// Lines nobody took: standard error was full.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.get()
    }

    fn write(&self, entry: &Entry, took: std::time::Duration) {
        let Some((format, output)) = &self.to else {
            return;
        };
        if !output.has_room(LINE_BYTES) {
            self.dropped.set(self.dropped.get() + 1);
            return;
        }
        let path = shown::line(&entry.path, PATH_CHARS);
        let note = entry.note();
        let app = self.app.as_deref();
        let line = match format {
            Format::Text => format!(
                "{}{}{} {} {path} {} {} B {}{}{}\n",
                app.unwrap_or_default(),
                if app.is_some() { ": " } else { "" },
                entry.client,
                shown::line(entry.method.as_str(), 32),
                entry.status.as_u16(),
                entry.bytes,
                duration(took),
                if note.is_some() { " " } else { "" },
                note.unwrap_or_default(),
            ),
            Format::Json => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH);
                let mut line = json!({"access": {
                    "t_ms": now.map_or(0, |now| now.as_millis() as u64),
                    "client": entry.client.to_string(),
                    "method": entry.method.as_str(),
                    "path": path,
                    "status": entry.status.as_u16(),
                    "bytes": entry.bytes,
                    "us": took.as_micros() as u64,
                    "note": note,
                }});
                if let Some(app) = app {
                    line["access"]["app"] = app.into();
                }
                format!("{line}\n")
            }
        };
        output.say(&line);
    }
}

/// One request, told when it is over.
pub(super) struct Entry {
    server: Server,
    began: Instant,
    client: SocketAddr,
    method: Method,
    path: Rc<str>,
    pub(super) status: StatusCode,
    /// Of the response's body.
    pub(super) bytes: u64,
    /// All of it was handed to the connection.
    pub(super) complete: bool,
    why: Option<&'static str>,
}

impl Entry {
    pub(super) fn new<B>(server: &Server, client: SocketAddr, request: &http::Request<B>) -> Self {
        let told = server.0.access.to.is_some();
        Self {
            server: server.clone(),
            began: server.0.shard.latest(),
            client,
            method: request.method().clone(),
            path: if told {
                request.uri().path().into()
            } else {
                Rc::default()
            },
            // What it is if nobody answers: the client closed the connection.
            status: CLIENT_GONE,
            bytes: 0,
            complete: false,
            why: None,
        }
    }

    /// It asks for a head alone (RFC 9110 section 9.3.2).
    pub(super) fn is_for_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// It is answered in the app's place.
    pub(super) fn answered_for(&mut self, failure: &Failure) {
        self.status = failure.status();
        self.why = Some(failure.word());
    }

    /// It is none for the app.
    pub(super) fn refused(&mut self, bad: BadRequest) {
        self.status = bad.status();
        self.why = Some(bad.word());
    }

    /// Its body came to an end of its own.
    pub(super) fn failed(&mut self, error: &Error) {
        self.why = Some(match error {
            Error::HttpResponseBodySize(_) => "wrong-length",
            _ => "broken-off",
        });
    }

    /// What is to be said of it, if anything.
    fn note(&self) -> Option<&'static str> {
        self.why.or(match (self.complete, self.status) {
            (true, _) => None,
            (false, CLIENT_GONE) => Some("client-gone"),
            (false, _) => Some("not-sent"),
        })
    }
}

/// What proxies write of a client that left before there was an answer. It is only ever in the log.
const CLIENT_GONE: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

impl Drop for Entry {
    fn drop(&mut self) {
        let took = self.server.0.shard.now().saturating_since(self.began);
        let failed = self.status.is_server_error() || !self.complete;
        self.server.count(|served| {
            served.requests += 1;
            served.failed += u64::from(failed);
        });
        self.server.0.access.write(self, took);
    }
}
