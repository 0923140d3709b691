//! The way to the collector: a queue with an end, and the one thread that empties it.
//!
//! Whoever has a span puts it down and goes on: where there is no room it is dropped and counted. The thread waits for
//! the collector, nobody waits for the thread, except [`Exporting::finish`], for a time its caller names. A batch that
//! is not taken is dropped and counted; it is not tried again, so that a collector that is gone costs no memory. Metrics
//! are sums since the start: of them the next request says what a lost one would have.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::board::Board;
use super::client::{Client, Sent};
use super::metrics::Metric;
use super::otlp;
use super::spans::Span;
use super::variables::{Exporter, Settings};

/// Nanoseconds since 1970.
pub(super) fn now_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

#[derive(Default)]
struct Waiting {
    spans: VecDeque<Span>,
    /// Since when the oldest waits.
    since: Option<Instant>,
    /// All is to be sent by then, and then it is over.
    until: Option<Instant>,
    over: bool,
}

struct Shared {
    waiting: Mutex<Waiting>,
    /// For the thread: there is something to do.
    work: Condvar,
    /// For who ends it: it is over.
    over: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running export.
pub(super) struct Exporting {
    shared: Arc<Shared>,
    board: Arc<Board>,
    room: usize,
    batch: usize,
}

impl Exporting {
    /// Starts the thread.
    ///
    /// # Errors
    /// A certificate that cannot be read; no more threads.
    pub(super) fn start(settings: Settings, board: Arc<Board>) -> Result<Self, String> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            work: Condvar::new(),
            over: Condvar::new(),
        });
        let client = |signal, exporter: &Option<Exporter>| {
            let exporter = exporter.clone();
            exporter
                .map(|exporter| Client::new(signal, exporter))
                .transpose()
        };
        let (room, batch) = (settings.queue, settings.batch);
        let thread = Thread {
            shared: Arc::clone(&shared),
            board: Arc::clone(&board),
            traces: client("traces", &settings.traces)?,
            metrics: client("metrics", &settings.metrics)?,
            start: now_nanos(),
            settings,
        };
        thread::Builder::new()
            .name("nexus-telemetry".into())
            .spawn(move || thread.run())
            .map_err(|error| format!("the thread for telemetry: {error}"))?;
        Ok(Self {
            shared,
            board,
            room,
            batch,
        })
    }

    /// Puts a span down, if there is room; never waits for the collector.
    pub(super) fn push(&self, span: Span) {
        let mut waiting = self.shared.lock();
        if waiting.over || waiting.spans.len() >= self.room {
            drop(waiting);
            self.board.add(Metric::SpansDropped, &["no-room"], 1);
            return;
        }
        waiting.since.get_or_insert_with(Instant::now);
        waiting.spans.push_back(span);
        // The first one sets the thread's alarm; a whole batch goes at once.
        let wake = waiting.spans.len() == 1 || waiting.spans.len() == self.batch;
        drop(waiting);
        if wake {
            self.shared.work.notify_one();
        }
    }

    /// Has all sent, and waits for that, but no longer than `limit`.
    pub(super) fn finish(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let mut waiting = self.shared.lock();
        waiting.until = Some(until);
        self.shared.work.notify_one();
        while !waiting.over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // What comes now finds nobody; what is under way ends with the process.
                waiting.over = true;
                break;
            }
            waiting = self
                .shared
                .over
                .wait_timeout(waiting, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// What is to be done next.
struct Work {
    spans: Vec<Span>,
    metrics: bool,
    until: Option<Instant>,
}

struct Thread {
    shared: Arc<Shared>,
    board: Arc<Board>,
    settings: Settings,
    traces: Option<Client>,
    metrics: Option<Client>,
    start: u64,
}

impl Thread {
    fn run(mut self) {
        let mut due = Instant::now() + self.settings.interval;
        loop {
            let work = self.wait(due);
            let sent = !work.spans.is_empty();
            if sent {
                // Metrics go after the spans: a collector that answers nobody gets half the time for each.
                let share = if self.metrics.is_some() { 2 } else { 1 };
                self.send_spans(&work.spans, work.until.map(|until| left(until) / share));
            }
            let last = work.until.is_some() && !sent;
            if work.metrics || last {
                due = Instant::now() + self.settings.interval;
                self.send_metrics(work.until.map(left));
            }
            if last {
                self.shared.lock().over = true;
                self.shared.over.notify_all();
                return;
            }
        }
    }

    /// Waits until there is something to do. While all is to be sent: the rest of the spans, then nothing.
    fn wait(&self, due: Instant) -> Work {
        let mut waiting = self.shared.lock();
        loop {
            let now = Instant::now();
            let alarm = waiting.since.map(|since| since + self.settings.delay);
            let count = waiting.spans.len();
            let ready = waiting.until.is_some()
                || count >= self.settings.batch
                || alarm.is_some_and(|alarm| alarm <= now);
            let metrics = self.metrics.is_some() && due <= now;
            if ready || metrics {
                let take = if ready {
                    count.min(self.settings.batch)
                } else {
                    0
                };
                let spans: Vec<_> = waiting.spans.drain(..take).collect();
                if ready {
                    waiting.since = (!waiting.spans.is_empty()).then_some(now);
                }
                return Work {
                    spans,
                    metrics,
                    until: waiting.until,
                };
            }
            let next = if self.metrics.is_some() {
                alarm.unwrap_or(due).min(due)
            } else {
                alarm.unwrap_or(now + self.settings.interval)
            };
            waiting = self
                .shared
                .work
                .wait_timeout(waiting, next.saturating_duration_since(now))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn send_spans(&mut self, spans: &[Span], limit: Option<Duration>) {
        let Some(client) = &mut self.traces else {
            return;
        };
        let request = otlp::traces(&self.settings.resource, spans);
        let count = spans.len() as u64;
        let (why, lost) = match client.send(&request, limit) {
            Sent::All => return,
            // No more than there were, whatever it says.
            Sent::But(rejected) => ("rejected", rejected.min(count)),
            Sent::Nothing => ("not-taken", count),
        };
        self.board.add(Metric::ExportsFailed, &["traces"], 1);
        self.board.add(Metric::SpansDropped, &[why], lost);
    }

    fn send_metrics(&mut self, limit: Option<Duration>) {
        let Some(client) = &mut self.metrics else {
            return;
        };
        let metrics = self.board.read();
        let request = otlp::metrics(&self.settings.resource, &metrics, self.start, now_nanos());
        if client.send(&request, limit) != Sent::All {
            self.board.add(Metric::ExportsFailed, &["metrics"], 1);
        }
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::net::TcpListener;

    use super::super::spans::Kind;
    use super::super::variables;

    fn span() -> Span {
        Span {
            trace: [1; 16],
            id: [2; 8],
            parent: None,
            name: "x".to_owned(),
            kind: Kind::Internal,
            begin: 0,
            end: 0,
            attributes: Vec::new(),
            moments: Vec::new(),
            error: None,
        }
    }

    /// Goal: spans beyond the room are dropped and counted, those up to it are not; nobody waits for a collector that
    /// takes a connection and never answers. Method: a listener that nobody serves, room for three, a batch of three
    /// that never fills before the last.
    #[test]
    fn reject_spans_beyond_the_room() {
        let silent = TcpListener::bind("127.0.0.1:0").expect("binds");
        let endpoint = format!("http://{}", silent.local_addr().expect("bound"));
        let variables = [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.as_str()),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "3"),
            ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
        ];
        let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut settings = variables::read(BTreeMap::from(owned))
            .expect("good")
            .expect("on");
        settings.batch = usize::MAX;
        let board = Arc::new(Board::default());
        let exporting = Exporting::start(settings, Arc::clone(&board)).expect("starts");
        for _ in 0..3 {
            exporting.push(span());
        }
        assert_eq!(board.get(Metric::SpansDropped, &["no-room"]), 0);
        exporting.push(span());
        assert_eq!(board.get(Metric::SpansDropped, &["no-room"]), 1);
        let begun = Instant::now();
        exporting.finish(Duration::from_millis(200));
        assert!(begun.elapsed() < Duration::from_secs(1));
    }

    /// A collector that answers each request with this, for as long as the test runs.
    fn answers(body: &'static [u8]) -> String {
        use std::io::{BufRead as _, BufReader, Read as _, Write as _};

        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // All of it: an end with something unread is a reset, which takes the answer along.
                let mut reader = BufReader::new(&stream);
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    let _ = reader.read_line(&mut line).expect("a request");
                    if line.trim().is_empty() {
                        break;
                    }
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().expect("a number");
                    }
                }
                let mut request = vec![0; length];
                reader.read_exact(&mut request).expect("a body");
                let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(&[head.as_bytes(), body].concat());
            }
        });
        endpoint
    }

    /// Goal: what a collector takes and throws away is counted, and no more of it than was sent. Method: two spans,
    /// of which it rejects one, then says a thousand; metrics of which it rejects some.
    #[test]
    fn spans_that_are_rejected_are_counted() {
        for (body, lost) in [
            (&b""[..], 0),
            (b"\x0a\x02\x08\x01", 1),
            (b"\x0a\x03\x08\xe8\x07", 2),
        ] {
            let endpoint = answers(body);
            let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
            let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let settings = variables::read(BTreeMap::from(owned))
                .expect("good")
                .expect("on");
            let board = Arc::new(Board::default());
            let exporting = Exporting::start(settings, Arc::clone(&board)).expect("starts");
            exporting.push(span());
            exporting.push(span());
            exporting.finish(Duration::from_secs(10));
            assert_eq!(board.get(Metric::SpansDropped, &["rejected"]), lost);
            assert_eq!(board.get(Metric::SpansDropped, &["not-taken"]), 0);
            let failed = |signal| board.get(Metric::ExportsFailed, &[signal]);
            assert_eq!(failed("traces"), u64::from(lost > 0));
            assert_eq!(failed("metrics"), u64::from(lost > 0));
        }
    }
}
